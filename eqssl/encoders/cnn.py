"""A small network for images of about 28 to 32 pixels: one convolution for each stage."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders.base import Bases, Encoder
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.nn.pooling import Halve


class Network(Encoder):
    """Convolution, batch norm and ReLU in each stage; the side is halved before every stage but the first.

    Halving chooses its window by the side's parity, so that the network is exact on every size:
    28-14-7-4, 32-16-8-4, and 10-5-3-2 for patches.
    """

    name = "cnn"

    def build(self, bases: Bases, generator: torch.Generator | None) -> None:
        """Create the stages."""
        shape = self.shape
        stages = []
        for i, fields in enumerate(shape.fields):
            basis = bases("group" if i else "lift", shape.kernel)
            incoming = shape.fields[i - 1] if i else shape.image[0]
            stages.append(
                nn.Sequential(
                    Halve() if i else nn.Identity(),
                    GroupConv2d(basis, incoming, fields, shape.kernel, generator=generator),
                    FieldBatchNorm(fields, shape.order),
                    nn.ReLU(inplace=True),
                )
            )
        self.blocks = nn.ModuleList(stages)

    def maps(self, images: Float[Tensor, "batch channel side side"]) -> list[Tensor]:
        """Group-major feature maps after each stage."""
        found, x = [], images
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found
