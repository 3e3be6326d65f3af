"""Settings of encoders: one class for each architecture, which names the class that builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from eqssl.config.kinds import Kind
from eqssl.config.values import Channels, Stages


class EncoderSettings(Kind):
    """What every encoder has.

    Attributes:
        name: architecture.
        width: channels of each stage for the trivial group, at most 65,536; None for those of the paper of
            the architecture.
        kernel: side of the filters.
        match: `params` chooses the fields of other groups so that the number of parameters is the same,
            `channels` so that the number of channels is.
        group_pooling: how the invariant feature is made.
        downsampling: how the side of a map is halved: `pool` (mean over windows of the right parity, then the
            convolution), `boxed` (the convolution, then such a mean, as one convolution), or `strided`, which
            keeps the symmetry on few sizes only and is refused on all others.
        equivariant_stages: so many of the first stages keep the symmetry, the others are plain; None for all.
        stages: number of stages of the architecture's paper.
        any_depth: whether `width` may have another number of stages.
    """

    discriminator: ClassVar[str] = "name"
    stages: ClassVar[int]
    any_depth: ClassVar[bool] = False

    name: str
    width: Annotated[tuple[Channels, ...], Field(min_length=1, max_length=64)] | None = None
    kernel: Literal[3, 5]
    match: Literal["params", "channels"]
    group_pooling: Literal["mean", "max"]
    downsampling: Literal["pool", "boxed", "strided"] = "pool"
    equivariant_stages: Stages | None = None

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        width, kept = self.width, self.equivariant_stages
        if width and len(width) != self.stages and not self.any_depth:
            allowed = f"{self.stages} numbers, the stages of {self.name}, or null for those of its paper"
            raise ValueError(f"width: given {list(width)}, allowed: {allowed}")
        stages = len(width) if width else self.stages
        if kept is not None and kept > stages:
            allowed = f"at most {stages}, the stages of {self.name}"
            raise ValueError(f"equivariant_stages: given {kept}, allowed: {allowed}")
        return self


class CnnSettings(EncoderSettings):
    """A small network for images of about 28 to 32 pixels."""

    implementation: ClassVar[str] = "eqssl.encoders.cnn:Network"
    stages: ClassVar[int] = 4
    any_depth: ClassVar[bool] = True

    name: Literal["cnn"]


class ResNet18Settings(EncoderSettings):
    """Residual network of 18 layers."""

    implementation: ClassVar[str] = "eqssl.encoders.resnet:ResNet18"
    stages: ClassVar[int] = 4

    name: Literal["resnet18"]


class ResNet34Settings(EncoderSettings):
    """Residual network of 34 layers."""

    implementation: ClassVar[str] = "eqssl.encoders.resnet:ResNet34"
    stages: ClassVar[int] = 4

    name: Literal["resnet34"]


class ResNet50Settings(EncoderSettings):
    """Residual network of 50 layers."""

    implementation: ClassVar[str] = "eqssl.encoders.resnet:ResNet50"
    stages: ClassVar[int] = 4

    name: Literal["resnet50"]


class WideResNet16x8Settings(EncoderSettings):
    """Wide residual network of 16 layers, eight times as wide as a thin one."""

    implementation: ClassVar[str] = "eqssl.encoders.wide_resnet:WideResNet16x8"
    stages: ClassVar[int] = 3

    name: Literal["wide_resnet16_8"]


class WideResNet28x10Settings(EncoderSettings):
    """Wide residual network of 28 layers, ten times as wide as a thin one."""

    implementation: ClassVar[str] = "eqssl.encoders.wide_resnet:WideResNet28x10"
    stages: ClassVar[int] = 3

    name: Literal["wide_resnet28_10"]


# New encoders go above this line.
if TYPE_CHECKING:
    AnyEncoder: TypeAlias = EncoderSettings
else:
    AnyEncoder = EncoderSettings.union()
