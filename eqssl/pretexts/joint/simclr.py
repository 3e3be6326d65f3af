"""SimCLR, with a similarity that absorbs the turn of each input, and its plain twin."""

from __future__ import annotations

import torch

from eqssl.config.joint import SimCLRSettings
from eqssl.losses.nt_xent import nt_xent
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding


class SimCLR(JointEmbedding):
    """Tell the two views of an image from those of all other images (Chen et al. 2020, arXiv 2002.05709).

    With an absorbing similarity the loss does not change when any view is turned (Mukuta & Harada, arXiv
    2303.04427); the plain twin has the same encoder and the same projector width, and does change.
    """

    def build(self, settings: SimCLRSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views and create the projector."""
        self.begin(settings, generator)

    def forward(self, step: Step) -> Outcome:
        """NT-Xent of two random views of each image."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        return self.outcome(nt_xent(z1, z2, **self.comparison), z1, z2, views)
