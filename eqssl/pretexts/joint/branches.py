"""What joint-embedding pretexts share: views, a projector with or without symmetry, embeddings.

To write a new one, subclass `JointEmbedding`, declare `views` and create the projector in `build`, and
compute the loss of the embeddings in `forward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.heads import equivariant_mlp, plain_mlp
from eqssl.pretexts.base import Pretext, Step


class JointEmbedding(Pretext):
    """Several views of each image meet in one embedding space.

    An embedding keeps the group: its shape is (batch, embedding, |G|). A loss that absorbs the turn of each
    embedding does not change when the views are turned one by one,

        (C)  L(g_1 v_1, g_2 v_2, ...) = L(v_1, v_2, ...)   for g_i drawn for each view of each image.

    Attributes:
        projector: from the encoder's fields to the embedding; `make_projector` creates it.
    """

    projector: nn.Module

    def make_projector(
        self, widths: Sequence[int], equivariant: bool, generator: torch.Generator | None
    ) -> nn.Module:
        """A projector, from the encoder's fields over the group to an embedding over the group.

        Args:
            widths: channels (fields x |G|) of its hidden layers and of the embedding.
            equivariant: whether it commutes with the group. The projector of a plain twin has the same shapes
                and no symmetry.
            generator: draws the first weights.
        """
        make = equivariant_mlp if equivariant else plain_mlp
        return make(self.group, [self.encoder.fields, *map(self.fields_of, widths)], generator=generator)

    def embed(
        self, views: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch embedding order"]:
        """Embeddings of views in [0, 1]."""
        embedding: Tensor = self.projector(self.encoder(self.normalised(views)))
        return embedding

    def embed_views(self, step: Step) -> list[Float[Tensor, "batch embedding order"]]:
        """Draw the views of a step and embed them, in the order of `views`.

        Consecutive views of the same size go through the network together, so that batch norm sees all of
        them.
        """
        drawn = self.draw_views(step.images, step.generator)
        embeddings: list[Tensor] = []
        for _, same in groupby(drawn, lambda view: view.shape[-1]):
            views = list(same)
            embeddings += self.embed(torch.cat(views)).chunk(len(views))
        return embeddings
