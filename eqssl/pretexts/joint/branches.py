"""What joint-embedding pretexts share: views, networks with or without symmetry, embeddings.

To write a new one, subclass `JointEmbedding`, call `begin` in `build`, and compute the loss of the embeddings
in `forward`. With a branch that follows the trained one, subclass `MomentumEmbedding` (`momentum.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.config.joint import Crops, JointSettings
from eqssl.config.values import listed
from eqssl.config.views import ViewSettings
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.nn.heads import VectorBatchNorm, equivariant_mlp, plain_mlp
from eqssl.pretexts.base import Outcome, Pretext, Step
from eqssl.pretexts.joint.diagnosing import EmbeddedPair, collapse, diagnose
from eqssl.pretexts.views import TurnedView, ViewSpec


class JointEmbedding(Pretext):
    """Several views of each image meet in one embedding space.

    An embedding keeps the group: its shape is (batch, embedding, |G|). A loss that absorbs the turn of each
    embedding does not change when the views are turned one by one,

        (C)  L(g_1 v_1, g_2 v_2, ...) = L(v_1, v_2, ...)   for g_i drawn for each view of each image.

    Attributes:
        projector: from the encoder's fields to the embedding.
        similarity: how turns are absorbed; None for the published loss.
        comparison: the arguments that tell every loss how to compare embeddings; empty for a pretext that
            does not call `begin`.
        embedding_shape: fields of an embedding, and the group's order.
    """

    projector: nn.Module
    similarity: Kind | None = None
    comparison: Mapping[str, Any] = MappingProxyType({})

    def begin(
        self,
        settings: JointSettings,
        generator: torch.Generator | None,
        crops: Crops | None = None,
        normalised: bool = False,
    ) -> None:
        """Declare the views, create the projector, and note how embeddings are compared.

        Args:
            settings: of the pretext.
            generator: draws the first weights.
            crops: small views beside the two of usual size.
            normalised: whether the projector ends with a batch norm without trained scale.
        """
        self.similarity = settings.similarity
        self.comparison = {
            "G": self.group,
            "kind": settings.similarity,
            "temperature": settings.temperature,
            "angles": settings.angles,
        }
        self.views = declared_views(self.view_settings, settings, crops)
        self.embedding_shape = (self.fields_of(settings.embedding), self.group.order)
        widths = [*listed(settings.hidden), settings.embedding]
        self.projector = self.make_projector(widths, self.similarity is not None, generator, normalised)

    def make_projector(
        self,
        widths: Sequence[int],
        equivariant: bool,
        generator: torch.Generator | None,
        normalised: bool = False,
    ) -> nn.Module:
        """A projector, from the encoder's fields over the group to an embedding over the group.

        Args:
            widths: channels (fields x |G|) of its hidden layers and of the embedding.
            equivariant: whether it commutes with the group. The projector of a plain twin has the same shapes
                and no symmetry.
            generator: draws the first weights.
            normalised: whether it ends with a batch norm without trained scale.
        """
        fields = [self.encoder.fields, *map(self.fields_of, widths)]
        return self._network(fields, equivariant, generator, normalised)

    def make_predictor(
        self, hidden: int, generator: torch.Generator | None, normalised: bool = False
    ) -> nn.Module:
        """A network from embeddings to embeddings, with one hidden layer of so many channels."""
        fields = self.embedding_shape[0]
        widths = [fields, self.fields_of(hidden), fields]
        return self._network(widths, self.similarity is not None, generator, normalised)

    def _network(
        self, fields: Sequence[int], equivariant: bool, generator: torch.Generator | None, normalised: bool
    ) -> nn.Module:
        make = equivariant_mlp if equivariant else plain_mlp
        network: nn.Module = make(self.group, fields, generator=generator)
        if not normalised:
            return network
        if equivariant:
            return nn.Sequential(network, VectorBatchNorm(fields[-1], affine=False))
        norm = nn.BatchNorm1d(fields[-1] * self.group.order, affine=False)
        return nn.Sequential(network, nn.Flatten(), norm, nn.Unflatten(1, (fields[-1], -1)))

    def embed(
        self, views: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch embedding order"]:
        """Embeddings of views in [0, 1]."""
        embedding: Tensor = self.projector(self.encoder(self.normalised(views)))
        return embedding

    def embed_each(
        self, views: Sequence[TurnedView], embed: Callable[[Tensor], Tensor] | None = None
    ) -> list[Float[Tensor, "batch embedding order"]]:
        """Embeddings of several views, in their order.

        Consecutive views of the same size go through the network together, so that batch norm sees all of
        them.

        Args:
            views: as they were drawn.
            embed: the branch; the trained one by default.
        """
        embeddings: list[Tensor] = []
        for _, same in groupby((view.images for view in views), lambda images: images.shape[-1]):
            together = list(same)
            embeddings += (embed or self.embed)(torch.cat(together)).chunk(len(together))
        return embeddings

    def embed_views(self, step: Step) -> list[Float[Tensor, "batch embedding order"]]:
        """Draw the views of a step and embed them, in the order of `views`."""
        return self.embed_each(self.draw_turned_views(step.images, step.generator))

    def outcome(self, loss: Tensor, z1: Tensor, z2: Tensor, views: Sequence[TurnedView]) -> Outcome:
        """The loss of a step, with the numbers for the log.

        Args:
            loss: the loss.
            z1: embeddings of the first views.
            z2: embeddings of the second views, of either branch.
            views: the views of the step.
        """
        return Outcome(loss, self.diagnostics(z1.detach(), z2.detach(), views))

    def embedded_pair(self, images: Tensor, generator: torch.Generator) -> EmbeddedPair | None:
        """Two views of each image, drawn and embedded by the trained branch, for measurements.

        None for a pretext that does not call `begin`: it may embed views in a way of its own.

        Args:
            images: stored images.
            generator: draws the views, on the images' device.
        """
        if not self.comparison:
            return None
        first, second = self.draw_turned_views(images, generator)[:2]
        z1, z2 = self.embed_each([first, second])
        return EmbeddedPair(z1, z2, (first.turns, second.turns), self.similarity, self.comparison["angles"])

    def diagnostics(self, z1: Tensor, z2: Tensor, views: Sequence[TurnedView]) -> dict[str, Tensor]:
        """Numbers for the log, see `eqssl.pretexts.joint.diagnosing`."""
        turns, angles = (views[0].turns, views[1].turns), self.comparison.get("angles", ANGLES)
        return diagnose(z1, z2, turns, self.group, self.similarity, angles)

    def warnings(self, numbers: Mapping[str, float]) -> dict[str, str]:
        """Whether the embeddings have collapsed."""
        return collapse(numbers)


def declared_views(given: ViewSettings, settings: JointSettings, crops: Crops | None) -> tuple[ViewSpec, ...]:
    """Two views of the image's size, the second perhaps from other settings, and then small ones."""
    views: tuple[ViewSpec, ...] = (ViewSpec(2, None, given),)
    if settings.second_view is not None:
        second = given.changed(settings.second_view, "second_view")
        views = (ViewSpec(1, None, given), ViewSpec(1, None, second))
    if crops is not None:
        small = given.model_copy(update={"crop_scale": crops.scale})
        views += (ViewSpec(crops.count, crops.size, small, key="crops.size"),)
    return views
