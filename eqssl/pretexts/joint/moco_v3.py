"""MoCo v3: tell the momentum branch's embedding of the other view from those of the batch."""

from __future__ import annotations

import torch

from eqssl.config.joint import MoCoV3Settings
from eqssl.losses.moco_v3 import moco_v3
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.momentum import MomentumEmbedding


class MoCoV3(MomentumEmbedding):
    """Tell the key of the same image from those of the batch (Chen et al. 2021, arXiv 2104.02057).

        L = moco_v3(q(z_1), z'_2) + moco_v3(q(z_2), z'_1)

    where z is the embedding of the trained branch, z' that of the momentum branch and q the predictor, which
    commutes with the group. Projector and predictor end with a batch norm without trained scale, as
    published. The plain twin's networks have the same widths and no symmetry.
    """

    def build(self, settings: MoCoV3Settings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views, and create projector, momentum branch and predictor."""
        self.begin(settings, generator, normalised=True)
        self.begin_momentum(settings)
        self.predictor = self.make_predictor(settings.predictor, generator, normalised=True)

    def forward(self, step: Step) -> Outcome:
        """The loss of both directions."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        q1, q2 = self.predictor(torch.cat([z1, z2])).chunk(2)
        k1, k2 = self.embed_each(views, self.embed_slowly)
        loss = moco_v3(q1, k2, **self.comparison) + moco_v3(q2, k1, **self.comparison)
        return self.outcome(loss, z1, z2, views)
