"""SimCLR, with a similarity that absorbs the turn of each input, and its plain twin."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from eqssl.config.pretexts import SimCLRSettings
from eqssl.data.views.random_view import random_view
from eqssl.losses import nt_xent
from eqssl.nn.heads import equivariant_mlp, plain_mlp
from eqssl.pretexts.base import Pretext


class SimCLR(Pretext):
    """Tell the two views of an image from the views of all others (Chen et al. 2020, arXiv 2002.05709).

    The embedding keeps the group, shape (batch, embedding, |G|). With an absorbing similarity the loss does
    not change when any view is turned (Mukuta & Harada, arXiv 2303.04427); the plain twin has the same
    encoder and the same projector width, and does change.
    """

    def build(self, settings: SimCLRSettings, classes: int, generator: torch.Generator | None) -> None:
        """Create the projector."""
        self.similarity, self.temperature = settings.similarity, settings.temperature
        hidden, embedding = self.fields_of(settings.hidden), self.fields_of(settings.embedding)
        widths = [self.encoder.fields, hidden, embedding]
        make = plain_mlp if settings.similarity is None else equivariant_mlp
        self.projector = make(self.group, widths, generator=generator)

    def embed(
        self, views: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch embedding order"]:
        """Embeddings of views in [0, 1]."""
        embedding: Tensor = self.projector(self.encoder(self.normalised(views)))
        return embedding

    def contrast(
        self,
        first: Float[Tensor, "batch channel side side"],
        second: Float[Tensor, "batch channel side side"],
    ) -> Float[Tensor, ""]:
        """The loss of two views of the same images."""
        z1, z2 = self.embed(torch.cat([first, second])).chunk(2)
        return nt_xent(z1, z2, self.group, self.similarity, self.temperature)

    def loss(
        self,
        images: UInt8[Tensor, "batch channel side side"],
        labels: Int[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """NT-Xent of two random views of each image."""
        return self.contrast(*self.two_views(images, generator)), {}

    def two_views(
        self, images: UInt8[Tensor, "batch channel side side"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch channel side side"], Float[Tensor, "batch channel side side"]]:
        """Two random views of each image, in [0, 1]."""
        first = random_view(images, self.views, generator)
        return first, random_view(images, self.views, generator)
