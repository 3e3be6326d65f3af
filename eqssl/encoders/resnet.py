"""Residual networks (He et al. 2016, Deep Residual Learning for Image Recognition), exact on every size.

Up to 64 pixels the first convolution keeps the side (the usual form for CIFAR). Larger images are reduced to
a quarter of their side by a 7 x 7 convolution and a pooling. ResNet-50 halves maps in its 3 x 3 convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders.base import Downsampling, Encoder, down_of
from eqssl.encoders.layers import Layers
from eqssl.nn.convolution import Down
from eqssl.nn.pooling import Halve, HalveByMaximum

LARGEST_SMALL = 64
"""Side in pixels up to which the first layers keep the side."""


class Residual(nn.Module):
    """`activation(branch(x) + shortcut(x))`, where the shortcut is a 1 x 1 convolution if the fields change.

    Args:
        layers: makes the layers.
        widths: numbers of input, inner and output fields.
        kernel: side of the filters.
        downsampling: how the side is halved; None keeps it.
    """

    def __init__(
        self, layers: Layers, widths: tuple[int, int, int], kernel: int, downsampling: Downsampling | None
    ) -> None:
        super().__init__()
        incoming, _, fields = widths
        down = down_of(downsampling)
        self.before = Halve() if downsampling == "pool" else nn.Identity()
        *branch, self.activation = self.build(layers, widths, kernel, down)
        self.branch = nn.Sequential(*branch)
        shortcut: list[nn.Module] = []
        if down == "boxed":
            shortcut.append(Halve())
        if down != "no" or incoming != fields or downsampling == "pool":
            strided: Down = "strided" if down == "strided" else "no"
            shortcut.append(layers.normalised(incoming, fields, 1, strided))
        self.shortcut = nn.Sequential(*shortcut)

    def build(self, layers: Layers, widths: tuple[int, int, int], kernel: int, down: Down) -> list[nn.Module]:
        """The branch of ResNet-18 and ResNet-34, two convolutions, and the activation after the sum."""
        incoming, inner, fields = widths
        return [
            *layers.activated(incoming, inner, kernel, down),
            *layers.activated(inner, fields, kernel),
        ]

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Apply."""
        x = self.before(x)
        y: Tensor = self.activation(self.branch(x) + self.shortcut(x))
        return y


class Bottleneck(Residual):
    """The block of ResNet-50: fewer fields inside, between two 1 x 1 convolutions."""

    def build(self, layers: Layers, widths: tuple[int, int, int], kernel: int, down: Down) -> list[nn.Module]:
        """The branch, and the activation after the sum."""
        incoming, inner, fields = widths
        return [
            *layers.activated(incoming, inner, 1),
            *layers.activated(inner, inner, kernel, down),
            *layers.activated(inner, fields, 1),
        ]


class ResNet(Encoder):
    """What all residual networks share.

    Attributes:
        blocks: number of blocks of each stage.
        block: class of the blocks.
        expansion: output fields of a block for each of its inner fields.
    """

    default_width = (64, 128, 256, 512)
    blocks: ClassVar[tuple[int, ...]]
    block: ClassVar[type[Residual]] = Residual
    expansion: ClassVar[int] = 1

    def outgoing(self, stage: int) -> int:
        """Number of output fields of a stage."""
        return self.shape.fields[stage] * self.expansion

    def build(self, layers: Sequence[Layers]) -> None:
        """Create the first layers and the stages."""
        self.stem = self._stem(layers[0])
        self.residual = nn.ModuleList(self._stage(layers, i) for i in range(len(self.blocks)))

    def _stem(self, layers: Layers) -> nn.Sequential:
        shape, fields = self.shape, self.shape.fields[0]
        channels, side = shape.image[:2]
        if side <= LARGEST_SMALL:
            return nn.Sequential(*layers.activated_lift(channels, fields, shape.kernel))
        # `pool` would average pixels before the first filter could see their details
        down: Literal["boxed", "strided"] = "strided" if shape.downsampling == "strided" else "boxed"
        # the maximum of Fourier coefficients means nothing
        pool = HalveByMaximum() if layers.sampling is None else Halve()
        return nn.Sequential(*layers.activated_lift(channels, fields, 7, down), pool)

    def _stage(self, layers: Sequence[Layers], stage: int) -> nn.Sequential:
        fields, outgoing = self.shape.fields[stage], self.outgoing(stage)
        incoming = self.incoming(stage) if stage else fields
        found = []
        for number in range(self.blocks[stage]):
            down = self.shape.downsampling if stage and not number else None
            found.append(self.block(layers[stage], (incoming, fields, outgoing), self.shape.kernel, down))
            incoming = outgoing
        return nn.Sequential(*found)

    def maps(self, images: Float[Tensor, "batch channel side side"]) -> list[Tensor]:
        """Group-major feature maps after each stage."""
        found, x = [], self.stem(images)
        for stage in self.residual:
            x = stage(x)
            found.append(x)
        return found


class ResNet18(ResNet):
    """Two blocks of two convolutions in each stage."""

    name = "resnet18"
    blocks = (2, 2, 2, 2)


class ResNet34(ResNet):
    """Three to six blocks of two convolutions."""

    name = "resnet34"
    blocks = (3, 4, 6, 3)


class ResNet50(ResNet):
    """Three to six bottlenecks."""

    name = "resnet50"
    blocks = (3, 4, 6, 3)
    block = Bottleneck
    expansion = 4
