"""What every encoder is: images to regular fields, stage by stage, and their invariant part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.filters import FilterBasis, Kind
from eqssl.nn.pooling import as_channels_last, pool_group, pool_space

if TYPE_CHECKING:
    from eqssl.symmetry.groups import Group

Bases = Callable[[Kind, int], FilterBasis]


@dataclass(frozen=True)
class Shape:
    """The numbers that fix an encoder's architecture.

    Attributes:
        group: name of the group.
        order: its order.
        fields: regular fields of each stage.
        kernel: side of the filters.
        image: channels, height and width of an image.
        group_pooling: how the invariant feature is made.
        mean, std: of each channel of the training images, in [0, 1]; what images are normalised with.
    """

    group: str
    order: int
    fields: tuple[int, ...]
    kernel: int
    image: tuple[int, int, int]
    group_pooling: Literal["mean", "max"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Encoder(nn.Module):
    """Images to regular fields, exactly equivariant on the pixel grid.

        encoder(G.act(x, g))[b, f, g * h] == encoder(x)[b, f, h]

    Images are float32 and normalised by `mean` and `std`. Subclasses give the feature maps of each stage.

    Args:
        shape: the architecture's numbers.
        bases: gives the filter basis of a kind and kernel size (from escnn, or from a file).
        generator: draws the first weights.
    """

    name: ClassVar[str]
    """Name in the registry."""

    def __init__(self, shape: Shape, bases: Bases, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.build(bases, generator)

    @abstractmethod
    def build(self, bases: Bases, generator: torch.Generator | None) -> None:
        """Create the layers."""

    @abstractmethod
    def maps(self, images: Float[Tensor, "batch channel side side"]) -> list[Tensor]:
        """Group-major feature maps after each stage."""

    @property
    def group_name(self) -> str:
        """Name of the group."""
        return self.shape.group

    @property
    def group(self) -> Group:
        """The group; importing escnn when first asked for."""
        from eqssl.symmetry import group

        return group(self.shape.group)

    @property
    def fields(self) -> int:
        """Number of regular fields that come out."""
        return self.shape.fields[-1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.shape.image

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel of the training images, in [0, 1]."""
        return self.shape.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel of the training images, in [0, 1]."""
        return self.shape.std

    def stages(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> list[Float[Tensor, "batch fields order"]]:
        """Regular fields after each stage, averaged over the plane; the last equals `forward`.

        Raises:
            ValueError: if the images are not square or have another number of channels.
        """
        return [pool_space(m, self.shape.order) for m in self.maps(self._checked(images))]

    def forward(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch fields order"]:
        """Regular fields of the last stage, averaged over the plane; last axis as `group.elements`."""
        return pool_space(self.maps(self._checked(images))[-1], self.shape.order)

    def pool(self, features: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields"]:
        """The invariant part of regular fields."""
        return pool_group(features, self.shape.group_pooling)

    def invariant(self, images: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch fields"]:
        """Features that no element of the group changes."""
        return self.pool(self(images))

    def _checked(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != self.shape.image[0] or images.shape[2] != images.shape[3]:
            expected = f"(batch, {self.shape.image[0]}, side, side)"
            raise ValueError(f"images: given shape {tuple(images.shape)}, allowed: {expected}")
        return as_channels_last(images)


def parameter_count(encoder: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in encoder.parameters())


def flop_count(encoder: Encoder) -> int:
    """Floating-point operations of one forward pass of one image: two for each multiply-add of a convolution.

    Filters are expanded beforehand in inference and do not count.
    """
    from eqssl.nn.convolution import GroupConv2d

    operations = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal operations
        if isinstance(layer, GroupConv2d):
            operations += 2 * output.numel() * layer.expanded_inputs * layer.kernel**2

    hooks = [layer.register_forward_hook(count) for layer in encoder.modules()]
    training = encoder.training
    with torch.no_grad():
        encoder.eval()(torch.zeros(1, *encoder.image_shape, device=next(encoder.parameters()).device))
    encoder.train(training)
    for hook in hooks:
        hook.remove()
    return operations
