"""Orientation as equivariant labels: how was this image turned?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from eqssl.config.label_tasks import OrientationSettings
from eqssl.nn.constants import ModuleWithConstants
from eqssl.pretexts.labels.base import Draw, LabelTask
from eqssl.symmetry import GSet, coset_representatives, group, subgroup_positions


class Orientation(LabelTask, ModuleWithConstants):
    """Tell how an image was turned (Gidaris et al. 2018, arXiv 1803.07728), equivariantly.

    With labels `group` the input is h x and the label h, an element of Y = G, on which G acts from the left.
    With `rotations` the label is the coset of h in D4 / D1: the input is r f x, where f mirrors half of the
    images *before* the quarter turn r. (Mirrored afterwards, r would look like r^-1.) In both,

        t(x, g . y) = g t(x, y):

    turning the input turns the label. The stored image x defines what "upright" means, so in condition (A) it
    does not turn. With an exactly equivariant encoder and head the loss does not depend on h: the task is to
    agree on one orientation of all images.
    """

    product: Tensor
    representatives: Tensor
    hidden_part: Tensor

    def build(self, settings: OrientationSettings, classes: int, generator: torch.Generator | None) -> None:
        """Create the labels and the head."""
        whole, stabiliser = ("D4", "D1") if settings.labels == "rotations" else (self.group.name, "trivial")
        self.turning, mirrors = group(whole), group(stabiliser)
        self.labels = GSet.cosets(self.turning, mirrors).restricted(self.group)
        self._in_turning = subgroup_positions(self.turning, self.group)
        self.register_constant("product", self.turning.product.clone())
        representatives = coset_representatives(self.turning, mirrors)
        self.register_constant("representatives", torch.as_tensor(representatives, dtype=torch.int64))
        positions = subgroup_positions(self.turning, mirrors)
        self.register_constant("hidden_part", torch.tensor(positions))
        self.head = self.make_head(settings, None, generator)

    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """Which element of the stabiliser comes before the turn: whether the image is mirrored."""
        count = len(self.hidden_part)
        drawn = torch.randint(count, (batch,), generator=generator, device=generator.device)
        return {"before": self.hidden_part.to(drawn.device)[drawn]}

    def act_on_draw(self, draw: Draw, labels: Int[Tensor, " batch"], element: Any) -> Draw:
        """With h = rep(y) f, and y' = g . y:  f' = rep(y')^-1 g rep(y) f."""
        g = self._in_turning[self.group.index(element)]
        turned = self.product[g, self._elements(labels, draw)]
        moved = self.labels.permutation(element)[labels]
        back = self.turning.inverse[self.representatives[moved]]
        return {"before": self.product[back, turned]}

    def corrupt(
        self,
        images: Float[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        draw: Draw,
    ) -> Float[Tensor, "batch channel side side"]:
        """The turned images, normalised."""
        return self.normalised(self.turning.act_each(images, self._elements(labels, draw)))

    def act_on_image(
        self, images: Shaped[Tensor, "batch channel side side"], element: Any
    ) -> Shaped[Tensor, "batch channel side side"]:
        """The image itself: it defines what "upright" means."""
        return images

    def logits(self, inputs: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch labels"]:
        """Scores of all orientations."""
        scores: Tensor = self.head(self.encoder(inputs)).squeeze(1)
        return scores

    def _elements(self, labels: Int[Tensor, " batch"], draw: Draw) -> Int[Tensor, " batch"]:
        """Positions of rep(y) f among the elements of the group that turns the images."""
        return self.product[self.representatives[labels], draw["before"]]
