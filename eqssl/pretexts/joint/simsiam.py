"""SimSiam: predict the embedding of the other view, up to a turn, without a momentum branch."""

from __future__ import annotations

import torch

from eqssl.config.joint import SimSiamSettings
from eqssl.losses.simsiam import simsiam
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.parameters import ParameterGroup, decayed_and_not


class SimSiam(JointEmbedding):
    """Predict, from one view, the embedding of the other without gradient (Chen & He 2021, arXiv 2011.10566).

        L = (simsiam(q(z_1), z_2) + simsiam(q(z_2), z_1)) / 2

    where q is the predictor, which commutes with the group. Its learning rate stays the same, and the
    projector ends with a batch norm, both as published. The plain twin's networks have the same widths and no
    symmetry.
    """

    def build(self, settings: SimSiamSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare two views, and create projector and predictor."""
        self.begin(settings, generator, normalised=True)
        self.predictor = self.make_predictor(settings.predictor, generator)

    def forward(self, step: Step) -> Outcome:
        """The loss of both directions."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2 = self.embed_each(views)
        p1, p2 = self.predictor(torch.cat([z1, z2])).chunk(2)
        loss = (simsiam(p1, z2, **self.comparison) + simsiam(p2, z1, **self.comparison)) / 2
        return self.outcome(loss, z1, z2, views)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters, with those of the predictor in groups of fixed rate."""
        named = list(self.named_parameters())
        predictor = [pair for pair in named if pair[0].startswith("predictor.")]
        others = [pair for pair in named if not pair[0].startswith("predictor.")]
        return [*decayed_and_not(others), *decayed_and_not(predictor, fixed_rate=True)]
