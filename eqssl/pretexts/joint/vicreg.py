"""VICReg: equal embeddings of both views, with enough variance and without covariance."""

from __future__ import annotations

from typing import Any

import torch

from eqssl.config.joint import VICRegSettings
from eqssl.losses.vicreg import vicreg
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding


class VICReg(JointEmbedding):
    """Invariance, variance and covariance of fields (Bardes et al. 2022, arXiv 2105.04906).

    The second embedding is turned to the first one of its pair before they are compared; the variances and
    covariances of fields are taken over batch and group. The plain twin takes all numbers of the flattened
    embeddings, over the batch.
    """

    def build(self, settings: VICRegSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views and create the projector."""
        self.begin(settings, generator)
        self.weights: dict[str, Any] = {
            "invariance": settings.invariance,
            "variance": settings.variance,
            "covariance": settings.covariance,
        }

    def forward(self, step: Step) -> Outcome:
        """The loss of two random views of each image."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        loss = vicreg(z1, z2, **self.comparison, **self.weights)
        return self.outcome(loss, z1, z2, views)
