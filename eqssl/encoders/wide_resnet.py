"""Wide residual networks (Zagoruyko & Komodakis 2016, Wide Residual Networks), exact on every size.

Normalisation and activation come before each convolution; there is no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders.base import Downsampling, Encoder, down_of
from eqssl.encoders.layers import Layers
from eqssl.nn.convolution import Down
from eqssl.nn.pooling import Halve


class WideBlock(nn.Module):
    """Two convolutions, each after batch norm and activation, and a shortcut.

    Args:
        layers: makes the layers.
        incoming: number of input fields.
        fields: number of output fields.
        kernel: side of the filters.
        downsampling: how the side is halved; None keeps it.
    """

    def __init__(
        self, layers: Layers, incoming: int, fields: int, kernel: int, downsampling: Downsampling | None
    ) -> None:
        super().__init__()
        down = down_of(downsampling)
        halve = [Halve()] if downsampling == "pool" else []
        self.before = nn.Sequential(layers.norm(incoming), layers.activation(), *halve)
        self.branch = nn.Sequential(
            *layers.activated(incoming, fields, kernel, down),
            layers.convolution(fields, fields, kernel),
        )
        self.shortcut: nn.Module | None = None
        if incoming != fields or downsampling is not None:
            strided: Down = "strided" if down == "strided" else "no"
            boxed = [Halve()] if down == "boxed" else []
            self.shortcut = nn.Sequential(*boxed, layers.convolution(incoming, fields, 1, strided))

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Apply."""
        y = self.before(x)
        shortcut = x if self.shortcut is None else self.shortcut(y)
        z: Tensor = self.branch(y) + shortcut
        return z


class WideResNet(Encoder):
    """What all wide residual networks share.

    Attributes:
        blocks: number of blocks in each of the three stages.
    """

    blocks: ClassVar[int]

    def build(self, layers: Sequence[Layers]) -> None:
        """Create the first convolution and the stages."""
        shape = self.shape
        self.stem = layers[0].lift(shape.image[0], shape.fields[0], shape.kernel)
        stages = []
        for i, fields in enumerate(shape.fields):
            incoming = self.incoming(i) if i else fields
            found = []
            for number in range(self.blocks):
                down = shape.downsampling if i and not number else None
                found.append(WideBlock(layers[i], incoming, fields, shape.kernel, down))
                incoming = fields
            stages.append(nn.Sequential(*found))
        self.residual = nn.ModuleList(stages)
        self.final = nn.Sequential(layers[-1].norm(shape.fields[-1]), layers[-1].activation())

    def maps(self, images: Float[Tensor, "batch channel side side"]) -> list[Tensor]:
        """Group-major feature maps after each stage; the last after its normalisation and activation."""
        found, x = [], self.stem(images)
        for stage in self.residual:
            x = stage(x)
            found.append(x)
        return [*found[:-1], self.final(x)]


class WideResNet16x8(WideResNet):
    """Sixteen layers, eight times as wide as a thin network."""

    name = "wide_resnet16_8"
    default_width = (128, 256, 512)
    blocks = 2


class WideResNet28x10(WideResNet):
    """Twenty-eight layers, ten times as wide."""

    name = "wide_resnet28_10"
    default_width = (160, 320, 640)
    blocks = 4
