"""Barlow Twins: make the cross-correlation of the two views' fields the identity."""

from __future__ import annotations

from typing import Any

import torch

from eqssl.config.joint import BarlowTwinsSettings
from eqssl.losses.barlow_twins import barlow_twins
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding


class BarlowTwins(JointEmbedding):
    """Equal and uncorrelated fields of both views (Zbontar et al. 2021, arXiv 2103.03230).

    The second embedding is turned to the first one of its pair, then the cross-correlation of fields is taken
    over batch and group. The plain twin correlates all numbers of the flattened embeddings over the batch.
    """

    def build(self, settings: BarlowTwinsSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views and create the projector."""
        self.begin(settings, generator)
        self.weights: dict[str, Any] = {"off_diagonal": settings.off_diagonal, "scale": settings.scale}

    def forward(self, step: Step) -> Outcome:
        """The loss of two random views of each image."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        loss = barlow_twins(z1, z2, **self.comparison, **self.weights)
        return self.outcome(loss, z1, z2, views)
