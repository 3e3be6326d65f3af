"""Makers of layers: an architecture asks for a layer by its role, and these classes choose the layer.

So the same architecture is an equivariant network in training and a plain torch network when it is released.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.activation import FourierELU
from eqssl.nn.convolution import Down, GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.nn.plain import ChannelAffine, PlainConv2d
from eqssl.symmetry.filter_bases import FilterBasis, Kind

Bases = Callable[[Kind, int], FilterBasis]


class Normalised(nn.Sequential):
    """A convolution and its normalisation, which a released network folds into one."""


class Layers(ABC):
    """Makes layers on fields of one kind.

    Args:
        size: channels of a field.
        sampling: for fields of Fourier coefficients the matrix of the activation's samples, shape
            (samples, size); None for regular fields.
    """

    def __init__(self, size: int, sampling: Float[Tensor, "samples size"] | None = None) -> None:
        self.size, self.sampling = size, sampling

    @abstractmethod
    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from images to fields."""

    @abstractmethod
    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from fields to fields."""

    @abstractmethod
    def norm(self, fields: int) -> nn.Module:
        """Batch norm of fields."""

    def normalised(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution and batch norm."""
        return Normalised(self.convolution(incoming, fields, kernel, down), self.norm(fields))

    def normalised_lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Lifting convolution and batch norm."""
        return Normalised(self.lift(channels, fields, kernel, down), self.norm(fields))

    def activated(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> list[nn.Module]:
        """Convolution with batch norm, and activation; a sum may come between the two."""
        return [self.normalised(incoming, fields, kernel, down), self.activation()]

    def activated_lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> list[nn.Module]:
        """Lifting convolution with batch norm, and activation."""
        return [self.normalised_lift(channels, fields, kernel, down), self.activation()]

    def activation(self) -> nn.Module:
        """ReLU, or for Fourier coefficients ELU of sampled values."""
        return nn.ReLU(inplace=True) if self.sampling is None else FourierELU(self.sampling)


class EquivariantLayers(Layers):
    """Layers that commute with a group.

    Args:
        size: channels of a field.
        sampling: see `Layers`.
        bases: gives the filter basis of a kind and kernel size (from escnn, or from a file).
        generator: draws the first weights.
    """

    def __init__(
        self,
        size: int,
        sampling: Float[Tensor, "samples size"] | None,
        bases: Bases,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(size, sampling)
        self.bases, self.generator = bases, generator

    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from images to fields."""
        return GroupConv2d(self.bases("lift", kernel), channels, fields, kernel, down, self.generator)

    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from fields to fields."""
        return GroupConv2d(self.bases("group", kernel), incoming, fields, kernel, down, self.generator)

    def norm(self, fields: int) -> nn.Module:
        """Batch norm with one mean and variance for each field."""
        return FieldBatchNorm(fields, self.size, fourier=self.sampling is not None)


class PlainLayers(Layers):
    """Layers of a released network: torch's own convolutions on equally many channels, without a group.

    Args:
        size: channels of a field.
        sampling: see `Layers`.
        folded: whether normalisations are folded into convolutions.
    """

    def __init__(
        self, size: int, sampling: Float[Tensor, "samples size"] | None = None, folded: bool = True
    ) -> None:
        super().__init__(size, sampling)
        self.folded = folded

    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from images to the channels of fields."""
        return PlainConv2d(channels, fields * self.size, kernel, down, bias=False)

    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution from the channels of fields to those of others."""
        return PlainConv2d(incoming * self.size, fields * self.size, kernel, down, bias=False)

    def norm(self, fields: int) -> nn.Module:
        """A scale and a shift for each channel."""
        return ChannelAffine(fields * self.size)

    def normalised(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Convolution with the batch norm folded into its filter and bias."""
        if not self.folded:
            return super().normalised(incoming, fields, kernel, down)
        return PlainConv2d(incoming * self.size, fields * self.size, kernel, down, bias=True)

    def normalised_lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Lifting convolution with the batch norm folded into it."""
        if not self.folded:
            return super().normalised_lift(channels, fields, kernel, down)
        return PlainConv2d(channels, fields * self.size, kernel, down, bias=True)


class CountedLayers(Layers):
    """Layers that do nothing but count the parameters that equivariant ones would have.

    Attributes:
        parameters: number of parameters counted so far.
    """

    def __init__(self, size: int, bases: Bases) -> None:
        super().__init__(size)
        self.bases, self.parameters = bases, 0

    def _count(self, kind: Kind, incoming: int, fields: int, kernel: int) -> nn.Module:
        self.parameters += self.bases(kind, kernel).rows.shape[0] * incoming * fields
        return nn.Identity()

    def lift(self, channels: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Count the coefficients."""
        return self._count("lift", channels, fields, kernel)

    def convolution(self, incoming: int, fields: int, kernel: int, down: Down = "no") -> nn.Module:
        """Count the coefficients."""
        return self._count("group", incoming, fields, kernel)

    def norm(self, fields: int) -> nn.Module:
        """Count a scale and a shift for each field."""
        self.parameters += 2 * fields
        return nn.Identity()
