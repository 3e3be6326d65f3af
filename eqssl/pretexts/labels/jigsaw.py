"""Jigsaw puzzles as equivariant labels: which permutation of the tiles is this?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from eqssl.config.label_tasks import JigsawSettings
from eqssl.nn.constants import ModuleWithConstants
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.labels.base import Draw, cross_entropy
from eqssl.pretexts.labels.layouts import Grid
from eqssl.pretexts.labels.patch_task import PatchTask
from eqssl.symmetry import GSet, choose_permutations, permutation_labels


class Jigsaw(PatchTask, ModuleWithConstants):
    """Tell the permutation of an image's tiles (Noroozi & Favaro 2016, arXiv 1603.09246), equivariantly.

    A label is a permutation s: slot i of the mosaic shows tile s(i). Turning the mosaic by g moves its slots
    by p_g and turns each tile, so that the label becomes the conjugate

        g . s = p_g s p_g^-1,

    so the set of permutations must contain all conjugates. No published set does. Each tile is encoded by
    itself. The features of all tiles are a field over slots x G, which the head maps to the labels.
    """

    settings: JigsawSettings
    permutations: Tensor

    def build(self, settings: JigsawSettings, classes: int, generator: torch.Generator | None) -> None:
        """Choose the permutations, and create the labels and the head."""
        self.settings = settings
        self.layout = Grid(self.group, settings, self.encoder.image_shape[-1], settings.cells)
        chosen = choose_permutations(self.slots, settings.permutations, settings.distance, settings.set_seed)
        self.labels = permutation_labels(self.slots, chosen)
        self.register_constant("permutations", torch.as_tensor(chosen, dtype=torch.int64), saved=True)
        source = self.slots.product(GSet.regular(self.group))
        self.head = self.make_head(settings, source, generator)

    def described(self) -> dict[str, Any]:
        """The set of permutations, for the record."""
        return {**super().described(), "permutations": self.permutations.tolist()}

    def corrupt(
        self,
        images: Float[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        draw: Draw,
    ) -> Float[Tensor, "batch slots channel patch patch"]:
        """The mosaic t(x, s): slot i shows tile s(i)."""
        return permuted(self.patches(images, draw), self.permutations[labels])

    def act_on_input(
        self, inputs: Shaped[Tensor, "batch slots channel patch patch"], element: Any
    ) -> Shaped[Tensor, "batch slots channel patch patch"]:
        """Tiles go to their slots' new places, and each is turned."""
        moved = torch.empty_like(inputs)
        moved[:, self.slots.permutation(element)] = self.group.act(inputs, element)
        return moved

    def logits(
        self, inputs: Float[Tensor, "batch slots channel patch patch"]
    ) -> Float[Tensor, "batch labels"]:
        """Scores of all permutations for mosaics."""
        return self._scores(self._encoded(inputs))

    def _encoded(
        self, tiles: Float[Tensor, "batch slots channel patch patch"]
    ) -> Float[Tensor, "batch slots order fields"]:
        """Features of each tile, in group-major order, as they lie in memory."""
        return self.encoder(tiles.flatten(0, 1)).transpose(1, 2).unflatten(0, (-1, len(self.slots)))

    def _scores(self, features: Float[Tensor, "batch slots order fields"]) -> Float[Tensor, "batch labels"]:
        scores: Tensor = self.head(features.flatten(1, 2).transpose(1, 2)).squeeze(1)
        return scores

    def forward(self, step: Step) -> Outcome:
        """Cross-entropy of several random permutations of each image."""
        images, draw = step.images.float() / 255, self.draw(len(step.images), step.generator)
        tiles = self.patches(images, draw)
        drawn = self.draw_labels(len(images) * self.settings.draws, step.generator)
        mosaics = permuted(self._encoded(tiles), self.permutations[drawn])
        return cross_entropy(self._scores(mosaics), drawn)


def permuted(
    tiles: Shaped[Tensor, "batch slots ..."], permutations: Int[Tensor, "draws slots"]
) -> Shaped[Tensor, "draws slots ..."]:
    """Slot i gets what is in slot `permutations[i]`. Each image has equally many consecutive permutations."""
    batch, slots = tiles.shape[:2]
    image = torch.arange(batch, device=tiles.device).repeat_interleave(len(permutations) // batch)
    rows = image[:, None] * slots + permutations
    return tiles.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, permutations.shape)
