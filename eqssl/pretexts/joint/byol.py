"""BYOL: predict the momentum branch's embedding of the other view, up to a turn."""

from __future__ import annotations

import torch

from eqssl.config.joint import BYOLSettings
from eqssl.losses.byol import byol
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.momentum import MomentumEmbedding


class BYOL(MomentumEmbedding):
    """Predict the momentum branch's embedding of the other view (Grill et al. 2020, arXiv 2006.07733).

        L = byol(q(z_1), z'_2) + byol(q(z_2), z'_1)

    where z is the embedding of the trained branch, z' that of the momentum branch and q the predictor, which
    commutes with the group. The plain twin's predictor has the same width and no symmetry.
    """

    def build(self, settings: BYOLSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views, and create projector, momentum branch and predictor."""
        self.begin(settings, generator)
        self.begin_momentum(settings)
        self.predictor = self.make_predictor(settings.predictor, generator)

    def forward(self, step: Step) -> Outcome:
        """The loss of both directions."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        p1, p2 = self.predictor(torch.cat([z1, z2])).chunk(2)
        t1, t2 = self.embed_each(views, self.embed_slowly)
        loss = byol(p1, t2, **self.comparison) + byol(p2, t1, **self.comparison)
        return self.outcome(loss, z1, z2, views)
