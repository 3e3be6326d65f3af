"""Relative location as equivariant labels: which of eight neighbours of the centre is this patch?"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.config.label_tasks import RelativeLocationSettings
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.labels.base import Draw, cross_entropy
from eqssl.pretexts.labels.layouts import Grid, Ring
from eqssl.pretexts.labels.patch_task import PatchTask
from eqssl.symmetry import GSet

NEIGHBOURS = 8
SIDE = 3


class RelativeLocation(PatchTask):
    """Predict the slot of a patch beside the centre (Doersch et al. 2015, arXiv 1505.05192), equivariantly.

    The labels are the eight outer slots of a 3 x 3 grid, or of a ring, moved by the group as it moves the
    image; an input is the pair (centre patch, patch of slot y). The plain twin has the same encoder,
    corruption and widths, and a head without symmetry, which fails (B).

    Measures against shortcuts: patches have gaps between them and are shifted (the shifts turn with the
    image), images lose their colours at random, and each patch is standardised by itself.
    """

    def build(
        self, settings: RelativeLocationSettings, classes: int, generator: torch.Generator | None
    ) -> None:
        """Create the labels and the head."""
        self.settings = settings
        ring = settings.layout == "ring"
        side = self.encoder.image_shape[-1]
        self.layout = Ring(self.group, settings, side) if ring else Grid(self.group, settings, side, SIDE)
        self.centre = Ring.centre if ring else NEIGHBOURS // 2
        self.labels = _without(self.slots, self.centre)
        self.head = self.make_head(settings, None, generator, of_pairs=True)

    def corrupt(
        self,
        images: Float[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        draw: Draw,
    ) -> Float[Tensor, "batch 2 channel patch patch"]:
        """The pair t(x, y): the centre patch and the patch of the label's slot."""
        patches = self.patches(images, draw)
        slot = labels + (labels >= self.centre)
        return torch.stack([patches[:, self.centre], patches[torch.arange(len(images)), slot]], 1)

    def logits(self, inputs: Float[Tensor, "batch 2 channel patch patch"]) -> Float[Tensor, "batch 8"]:
        """Logits over the eight slots for pairs of patches."""
        return self._scores(inputs[:, 0], inputs[:, 1])

    def _scores(
        self,
        centres: Float[Tensor, "batch channel patch patch"],
        outer: Float[Tensor, "k*batch channel patch patch"],
    ) -> Float[Tensor, "k*batch 8"]:
        """Scores for pairs of all centres with the first patch of each, then with the second, and so on."""
        features = self.encoder(torch.cat([outer, centres]))
        of_outer, of_centres = features.split([len(outer), len(centres)])
        scores: Tensor = self.head((of_centres, of_outer)).squeeze(1)
        return band_limited(scores) if self.group.is_continuous else scores

    def forward(self, step: Step) -> Outcome:
        """Cross-entropy over all eight neighbours of each image, whose centre is encoded once."""
        images, draw = step.images.float() / 255, self.draw(len(step.images), step.generator)
        patches = self.patches(images, draw).transpose(0, 1)
        outer = torch.cat([patches[: self.centre], patches[self.centre + 1 :]])
        logits = self._scores(patches[self.centre], outer.flatten(0, 1))
        slots = torch.arange(NEIGHBOURS, device=logits.device)
        return cross_entropy(logits, slots.repeat_interleave(len(images)))


def band_limited(logits: Float[Tensor, "batch 8"]) -> Float[Tensor, "batch 8"]:
    """Scores of eight angles without their fourth frequency, l_k - (-1)^k mean over j of (-1)^j l_j.

    Under SO2 and O2 the label is an angle, and the scores are samples of a function of it with the band limit
    of the fields, 3. Eight samples could also hold frequency 4, which changes its sign from one sample to the
    next.
    """
    sign = 1 - 2 * (torch.arange(NEIGHBOURS, device=logits.device) % 2).to(logits.dtype)
    return logits - sign * (logits * sign).mean(1, keepdim=True)


def _without(slots: GSet, centre: int) -> GSet:
    """The slots without the centre, in their order."""
    outer = [slot for slot in range(len(slots)) if slot != centre]
    moved = slots.action[:, outer]
    return GSet(slots.group, moved - (moved > centre).to(moved.dtype))
