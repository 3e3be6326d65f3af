"""Group alignment: each embedding is turned back by its orientation, then compared entry by entry."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from eqssl.config.joint_others import GroupAlignmentSettings
from eqssl.config.values import listed
from eqssl.losses.group_alignment import found_share, orientation_loss, turned_back
from eqssl.losses.nt_xent import nt_xent
from eqssl.nn.heads import equivariant_mlp
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.diagnosing import EmbeddedPair, diagnose
from eqssl.pretexts.views import TurnedView, ViewSpec
from eqssl.symmetry.groups import SAMPLES, Group
from eqssl.symmetry.turning import flip_and_degrees
from eqssl.symmetry.turns import Turns, relative_element

_MARGIN = 0.01
"""Degrees. An element that is nearest to a turn by less than this is as near as another one."""


class GroupAlignment(JointEmbedding):
    """Contrast of aligned embeddings (Lee et al., CVPR 2023, arXiv 2303.15472).

        loss = NT-Xent(rho(g_1)^-1 z_1, rho(g_2)^-1 z_2) + weight * cross-entropy of the orientations

    An equivariant head scores the elements of the group. The best one is the orientation g of the view,
    through which no gradient flows; the second term teaches the head. A turned view has a turned embedding
    and a turned orientation, so the aligned embedding is the same.
    """

    def build(
        self, settings: GroupAlignmentSettings, classes: int, generator: torch.Generator | None
    ) -> None:
        """Declare two views and create the projector and the head."""
        self.temperature, self.weight = settings.temperature, settings.orientation_weight
        self.by_prediction = settings.aligned_by == "predicted"
        self.views = (ViewSpec(2, None, self.view_settings),)
        widths = [*listed(settings.hidden), settings.embedding]
        self.projector = self.make_projector(widths, True, generator)
        fields = [self.encoder.fields, *map(self.fields_of, listed(settings.orientation)), 1]
        self.head = equivariant_mlp(self.group, fields, generator=generator)

    def forward(self, step: Step) -> Outcome:
        """NT-Xent of the aligned embeddings, and the loss of the orientations."""
        views = self.draw_turned_views(step.images, step.generator)
        z1, z2, scores = self.aligned(views)
        one, other = scores.chunk(2)
        turns = [_known(view) for view in views]
        relative, exists = nearest_element(self.group, turns[1].after(turns[0].inverse()))
        contrast = nt_xent(z1, z2, self.group, None, self.temperature)
        aligning = orientation_loss(one, other, self.group, relative, exists)
        numbers = {"contrast": contrast.detach(), "orientation": aligning.detach()}
        numbers["turn_found"] = found_share(one, other, self.group, relative, exists)
        numbers |= diagnose(z1, z2, (None, None), self.group, None)
        return Outcome(contrast + self.weight * aligning, numbers)

    def aligned(self, views: Sequence[TurnedView]) -> tuple[Tensor, Tensor, Tensor]:
        """The aligned embeddings of first and second views, and the scores of all views' orientations."""
        features: Tensor = self.encoder(self.normalised(torch.cat([view.images for view in views])))
        z, scores = self.projector(features), self.head(features).squeeze(1)
        if self.by_prediction:
            orientations = scores.detach().argmax(1)
        else:
            orientations = torch.cat([aligning_element(self.group, _known(view)) for view in views])
        first, second = turned_back(z, orientations, self.group).chunk(2)
        return first, second, scores

    def embedded_pair(self, images: Tensor, generator: torch.Generator) -> EmbeddedPair:
        """The aligned embeddings."""
        first, second, _ = self.aligned(self.draw_turned_views(images, generator))
        return EmbeddedPair(first, second, (None, None), None)


def nearest_element(G: Group, turns: Turns) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The listed element that is nearest to each turn, and for which turns there is one such element.

    There is none for a turn that mirrors if the group does not, and for a turn in the middle between two
    elements. With both sides multiplied by an element of the group, the nearest element is, too.
    """
    before, exists = _nearest(G, turns, -_MARGIN)
    after, _ = _nearest(G, turns, _MARGIN)
    return before, exists & (before == after)


def aligning_element(G: Group, turns: Turns) -> Int[Tensor, " batch"]:
    """An element near to each turn, which an element of the group on the left of the turn multiplies, too.

    Of two elements that are equally near it is always the same one. Without reflections in the group, a turn
    that mirrors has that of its rotation.
    """
    if not any(flip_and_degrees(G.matrix(g))[0] for g in G.elements):
        turns = Turns(turns.degrees, torch.zeros_like(turns.mirrored))
    return _nearest(G, turns, _MARGIN)[0]


def _nearest(G: Group, turns: Turns, margin: float) -> tuple[Tensor, Tensor]:
    """`relative_element` of a turn by `margin` degrees followed by the given turns."""
    upright = Turns(torch.zeros_like(turns.degrees), torch.zeros_like(turns.mirrored))
    return relative_element(
        G, turns.after(Turns(upright.degrees + margin, upright.mirrored)), upright, SAMPLES
    )


def _known(view: TurnedView) -> Turns:
    if view.turns is None:
        raise ValueError("turns of the views: given none, allowed: how each image was turned")
    return view.turns
