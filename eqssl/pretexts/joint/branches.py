"""What joint-embedding pretexts share: views, networks with or without symmetry, embeddings.

To write a new one, subclass `JointEmbedding`, call `begin` in `build`, and compute the loss of the embeddings
in `forward`. With a branch that follows the trained one, subclass `MomentumEmbedding` (`momentum.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.config.joint import Crops, JointSettings
from eqssl.config.views import ViewSettings
from eqssl.nn.heads import VectorBatchNorm, equivariant_mlp, plain_mlp
from eqssl.pretexts.base import Outcome, Pretext, Step
from eqssl.pretexts.views import ViewSpec


class JointEmbedding(Pretext):
    """Several views of each image meet in one embedding space.

    An embedding keeps the group: its shape is (batch, embedding, |G|). A loss that absorbs the turn of each
    embedding does not change when the views are turned one by one,

        (C)  L(g_1 v_1, g_2 v_2, ...) = L(v_1, v_2, ...)   for g_i drawn for each view of each image.

    Attributes:
        projector: from the encoder's fields to the embedding.
        similarity: how turns are absorbed; None for the published loss.
        comparison: the arguments that tell every loss how to compare embeddings.
        embedding_shape: fields of an embedding, and the group's order.
    """

    projector: nn.Module

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
        self.comparison: dict[str, Any] = {
            "G": self.group,
            "kind": settings.similarity,
            "temperature": settings.temperature,
            "angles": settings.angles,
        }
        self.views = declared_views(self.view_settings, settings, crops)
        hidden = settings.hidden if isinstance(settings.hidden, tuple) else (settings.hidden,)
        widths = [self.encoder.fields, *map(self.fields_of, [*hidden, settings.embedding])]
        self.embedding_shape = (widths[-1], self.group.order)
        self.projector = self.make_network(widths, generator, normalised)

    def make_network(
        self, widths: Sequence[int], generator: torch.Generator | None, normalised: bool = False
    ) -> nn.Module:
        """A network from fields over the group to fields over the group.

        It commutes with the group. That of a plain twin has the same shapes and no symmetry.

        Args:
            widths: fields of its input, of its hidden layers and of its output.
            generator: draws the first weights.
            normalised: whether it ends with a batch norm without trained scale.
        """
        make = plain_mlp if self.similarity is None else equivariant_mlp
        network: nn.Module = make(self.group, widths, generator=generator)
        return nn.Sequential(network, self._last_norm(widths[-1])) if normalised else network

    def _last_norm(self, fields: int) -> nn.Module:
        if self.similarity is not None:
            return VectorBatchNorm(fields, affine=False)
        norm = nn.BatchNorm1d(fields * self.group.order, affine=False)
        return nn.Sequential(nn.Flatten(), norm, nn.Unflatten(1, (fields, -1)))

    def make_predictor(
        self, hidden: int, generator: torch.Generator | None, normalised: bool = False
    ) -> nn.Module:
        """A network from embeddings to embeddings, with one hidden layer of so many channels."""
        fields = self.embedding_shape[0]
        return self.make_network([fields, self.fields_of(hidden), fields], generator, normalised)

    def embed(
        self, views: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch embedding order"]:
        """Embeddings of views in [0, 1]."""
        embedding: Tensor = self.projector(self.encoder(self.normalised(views)))
        return embedding

    def embed_each(
        self, views: Sequence[Tensor], embed: Callable[[Tensor], Tensor] | None = None
    ) -> list[Float[Tensor, "batch embedding order"]]:
        """Embeddings of several views, in their order.

        Consecutive views of the same size go through the network together, so that batch norm sees all of
        them.

        Args:
            views: in [0, 1].
            embed: the branch; the trained one by default.
        """
        embeddings: list[Tensor] = []
        for _, same in groupby(views, lambda view: view.shape[-1]):
            together = list(same)
            embeddings += (embed or self.embed)(torch.cat(together)).chunk(len(together))
        return embeddings

    def embed_views(self, step: Step) -> list[Float[Tensor, "batch embedding order"]]:
        """Draw the views of a step and embed them, in the order of `views`."""
        return self.embed_each(self.draw_views(step.images, step.generator))

    def outcome(self, loss: Tensor, z1: Tensor, z2: Tensor, views: Sequence[Tensor]) -> Outcome:
        """The loss of a step, with the numbers for the log.

        Args:
            loss: the loss.
            z1: embeddings of the first views.
            z2: embeddings of the second views, of either branch.
            views: what `draw_views` gave.
        """
        return Outcome(loss, self.diagnostics(z1.detach(), z2.detach(), views))

    def diagnostics(self, z1: Tensor, z2: Tensor, views: Sequence[Tensor]) -> dict[str, Tensor]:
        """Numbers for the log: none yet."""
        return {}


def declared_views(given: ViewSettings, settings: JointSettings, crops: Crops | None) -> tuple[ViewSpec, ...]:
    """Two views of the image's size, the second perhaps from other settings, and then small ones."""
    views: tuple[ViewSpec, ...] = (ViewSpec(2, None, given),)
    if settings.second_view is not None:
        views = (ViewSpec(1, None, given), ViewSpec(1, None, given.changed(settings.second_view)))
    if crops is not None:
        small = given.model_copy(update={"crop_scale": crops.scale})
        views += (ViewSpec(crops.count, crops.size, small),)
    return views
