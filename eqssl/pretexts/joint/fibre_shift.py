"""Fibre shift: two turned copies of one equivariant feature are the positive pair."""

from __future__ import annotations

import torch
from torch import Tensor

from eqssl.config.joint_others import FibreShiftSettings
from eqssl.config.values import listed
from eqssl.losses.nt_xent import nt_xent
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.diagnosing import EmbeddedPair, diagnose
from eqssl.pretexts.views import ViewSpec
from eqssl.symmetry import act_on_regular_each


class FibreShift(JointEmbedding):
    """Homomorphic self-supervised learning with turns (Keller et al., TMLR 2023, arXiv 2211.08282).

        z1_i = h(rho(g_i) f(v_i)),   z2_i = h(rho(g'_i) f(v_i)),   loss = NT-Xent(z1, z2)

    f is the encoder, v_i one random view of image i, h a projector without symmetry, and g_i and g'_i are
    drawn at random. Because rho(g) f(v) = f(g v), the two features are those of two turned views, and the
    encoder runs once.
    """

    def build(self, settings: FibreShiftSettings, classes: int, generator: torch.Generator | None) -> None:
        """Declare one view and create the projector."""
        self.temperature = settings.temperature
        self.views = (ViewSpec(1, None, self.view_settings),)
        widths = [*listed(settings.hidden), settings.embedding]
        self.projector = self.make_projector(widths, False, generator)

    def forward(self, step: Step) -> Outcome:
        """NT-Xent of the two turned features of each image."""
        first, second, *_ = self.embedded_pair(step.images, step.generator)
        numbers = diagnose(first, second, (None, None), self.group, None)
        return Outcome(nt_xent(first, second, self.group, None, self.temperature), numbers)

    def embedded_pair(self, images: Tensor, generator: torch.Generator) -> EmbeddedPair:
        """The embeddings of the two turned features."""
        (view,) = self.draw_views(images, generator)
        features: Tensor = self.encoder(self.normalised(view))
        drawn = torch.randint(self.group.order, (2 * len(view),), generator=generator, device=features.device)
        turned = act_on_regular_each(self.group, torch.cat([features, features]), drawn)
        first, second = self.projector(turned).chunk(2)
        return EmbeddedPair(first, second, (None, None), None)
