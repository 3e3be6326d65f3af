"""The base class of encoders: from images to regular fields, stage by stage, and to invariant features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.config.masks import Mask
from eqssl.encoders.layers import Layers
from eqssl.nn.convolution import Down, GroupConv2d
from eqssl.nn.plain import PlainConv2d
from eqssl.nn.pooling import Sample, as_channels_last, pool_group, pool_space

if TYPE_CHECKING:
    from eqssl.symmetry.groups import Group

Downsampling = Literal["pool", "boxed", "strided"]


@dataclass(frozen=True)
class Shape:
    """The numbers that fix an encoder's architecture.

    Attributes:
        name: the architecture, by its name in the registry.
        group: name of the group.
        order: number of listed elements of the group; length of the last axis of features.
        size: channels of a field: the order, or the number of Fourier coefficients of a continuous group.
        samples: elements at which the activation of a continuous group is evaluated; 0 for a finite one.
        fields: number of fields of each stage.
        equivariant_stages: number of stages that keep the symmetry. Those after them are plain, and their
            fields have one channel each.
        kernel: side of the filters.
        downsampling: how the side of a map is halved: `pool` (mean over windows of the right parity, then the
            convolution), `boxed` (the convolution, then such a mean, as one convolution) or `strided`.
        image: channels, height and width of an image.
        group_pooling: how a field is pooled over the group for the invariant feature.
        mean, std: mean and standard deviation of each channel of the training images, in [0, 1]. Images are
            normalised with them.
        mask: `disc` if everything outside of the inscribed disc is 0 in the images, else `none`.
    """

    name: str
    group: str
    order: int
    size: int
    samples: int
    fields: tuple[int, ...]
    equivariant_stages: int
    kernel: int
    downsampling: Downsampling
    image: tuple[int, int, int]
    group_pooling: Literal["mean", "max"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mask: Mask = "disc"

    @property
    def down(self) -> Down:
        """See `down_of`."""
        return down_of(self.downsampling)


def down_of(downsampling: Downsampling | None) -> Down:
    """How a convolution halves a map (None: not at all); with `pool` the map is halved before it."""
    return "no" if downsampling is None or downsampling == "pool" else downsampling


class Encoder(nn.Module):
    """Images to regular fields, exactly equivariant on the pixel grid.

        encoder(G.act(x, g))[b, f, g * h] == encoder(x)[b, f, h]

    Images are float32 and normalised by `mean` and `std`. Subclasses create the layers and give the feature
    maps of each stage. Stages from `shape.equivariant_stages` on are plain: there a field of the group is
    restricted to the trivial group, under which it is `size` fields of one channel each.

    Args:
        shape: the numbers that fix the architecture.
        layers: makes the layers of the equivariant stages.
        restricted: makes the layers of the plain stages after them.
        sampling: values of a field of Fourier coefficients at the listed elements, shape (order, size); None
            for a finite group.

    Example:
        >>> import eqssl, torch
        >>> params = eqssl.Params.load("params.yaml")
        >>> encoder = eqssl.pretexts.build("random", params).encoder.eval()
        >>> images = torch.randn(2, *encoder.image_shape)
        >>> encoder.group_name, encoder(images).shape == (2, encoder.fields, encoder.group.order)
        ('C4', True)
        >>> torch.allclose(encoder.invariant(images), encoder.invariant(images.rot90(1, (2, 3))), atol=1e-5)
        True
    """

    name: ClassVar[str]
    """Name in the registry."""
    default_width: ClassVar[tuple[int, ...]]
    """Channels of each stage of the plain network, which the networks of other groups are matched to."""

    def __init__(
        self, shape: Shape, layers: Layers, restricted: Layers, sampling: Tensor | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        self._size = [layers.size if self._keeps(i) else 1 for i in range(len(shape.fields))]
        self.sample = None if sampling is None else Sample(sampling)
        self.build([layers if self._keeps(i) else restricted for i in range(len(shape.fields))])

    @abstractmethod
    def build(self, layers: Sequence[Layers]) -> None:
        """Create the layers of each stage with the `Layers` of that stage."""

    @abstractmethod
    def maps(self, images: Float[Tensor, "batch channel side side"]) -> list[Tensor]:
        """Group-major feature maps after each stage."""

    def incoming(self, stage: int) -> int:
        """Number of input fields of a stage, in fields of that stage's own size."""
        return self.outgoing(stage - 1) * self._size[stage - 1] // self._size[stage]

    def outgoing(self, stage: int) -> int:
        """Number of output fields of a stage."""
        return self.shape.fields[stage]

    @property
    def is_released(self) -> bool:
        """Whether this is the plain form of a trained encoder (`eqssl.encoders.release.fold`)."""
        return not any(isinstance(layer, GroupConv2d) for layer in self.modules())

    def _keeps(self, stage: int) -> bool:
        return stage < self.shape.equivariant_stages

    @property
    def group_name(self) -> str:
        """Name of the group that acts on the features: that of the last stage."""
        return self.stage_groups[-1]

    @property
    def stage_groups(self) -> list[str]:
        """Name of the group that acts on the features of each stage."""
        return [self.shape.group if self._keeps(i) else "trivial" for i in range(len(self.shape.fields))]

    @property
    def group(self) -> Group:
        """The group that acts on the features. The first call imports escnn."""
        from eqssl.symmetry import group

        return group(self.group_name)

    @property
    def input_group(self) -> Group:
        """The group that acts on the first stages; the same as `group` unless later stages are plain."""
        from eqssl.symmetry import group

        return group(self.shape.group)

    @property
    def fields(self) -> int:
        """Number of regular fields of the output."""
        return self.outgoing(len(self.shape.fields) - 1)

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

    @property
    def mask(self) -> Mask:
        """`disc` if everything outside of the inscribed disc is 0 in the images, else `none`."""
        return self.shape.mask

    def stages(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> list[Float[Tensor, "batch fields order"]]:
        """Regular fields after each stage, averaged over the plane; the last equals `forward`.

        Those of a plain stage have an axis of length 1.

        Raises:
            ValueError: the images are not square, have another number of channels, or another type than the
                weights; says what to do.
        """
        return [self._pooled(m, i) for i, m in enumerate(self.maps(self._checked(images)))]

    def forward(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch fields order"]:
        """Regular fields of the last stage, averaged over the plane; last axis as `group.elements`."""
        return self._pooled(self.maps(self._checked(images))[-1], len(self.shape.fields) - 1)

    def _pooled(self, x: Tensor, stage: int) -> Float[Tensor, "batch fields order"]:
        features = pool_space(x, self._size[stage])
        return self.sample(features) if self.sample is not None and self._keeps(stage) else features

    def pool(self, features: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields"]:
        """The invariant part of regular fields."""
        return pool_group(features, self.shape.group_pooling)

    def invariant(self, images: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch fields"]:
        """Features that no element of the group changes."""
        return self.pool(self(images))

    def _checked(self, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor):
            raise ValueError(f"images: given {type(images).__name__}, allowed: a tensor of torch")
        if images.ndim != 4 or images.shape[1] != self.shape.image[0] or images.shape[2] != images.shape[3]:
            expected = f"(batch, {self.shape.image[0]}, side, side)"
            raise ValueError(f"images: given shape {tuple(images.shape)}, allowed: {expected}")
        if not images.is_floating_point():
            raise ValueError(
                f"images: given {images.dtype}, allowed: floating-point numbers; scale them to [0, 1], "
                "subtract encoder.mean and divide by encoder.std first"
            )
        weights = next(self.parameters()).dtype
        if images.dtype != weights and not torch.is_autocast_enabled(images.device.type):
            raise ValueError(f"images: given {images.dtype}, allowed: {weights}, as the weights are")
        return as_channels_last(images)


def parameter_count(encoder: nn.Module) -> int:
    """How many numbers all parameters hold together."""
    return sum(parameter.numel() for parameter in encoder.parameters())


def flop_count(encoder: Encoder) -> int:
    """Floating-point operations of one forward pass of one image: two for each multiply-add of a convolution.

    Expanding the filters does not count, because inference does it beforehand.
    """
    operations = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal operations
        if isinstance(layer, GroupConv2d | PlainConv2d):
            boxed = layer.down == "boxed" and inputs[0].shape[-1] % 2 == 0
            operations += 2 * output.numel() * inputs[0].shape[1] * (layer.kernel + boxed) ** 2

    hooks = [layer.register_forward_hook(count) for layer in encoder.modules()]
    training = encoder.training
    with torch.no_grad():
        encoder.eval()(torch.zeros(1, *encoder.image_shape, device=next(encoder.parameters()).device))
    encoder.train(training)
    for hook in hooks:
        hook.remove()
    return operations
