"""Lifting and group convolution, run as one plain convolution with an expanded filter."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.exactness import check_window
from eqssl.nn.filters import FilterBasis, PermutationGather


class GroupConv2d(nn.Module):
    """Convolution from images or regular fields to regular fields, equivariant to the bit on the pixel grid.

    The parameters are the coefficients of each pair of fields in the filter basis; the layer owns the basis,
    because escnn's differs between machines and coefficients mean nothing without it.

    Args:
        basis: see `eqssl.nn.filters.filter_basis`; "lift" for images, "group" for regular fields.
        in_fields: fields (image channels, for "lift") that come in.
        out_fields: fields that go out.
        kernel: side of the filter, odd.
        stride: step; must be exact for the size that comes in.
        generator: draws the first coefficients: each filter has variance 2 / fan-in (He et al. 2015).
    """

    basis: Tensor
    index: Tensor
    inverse: Tensor

    def __init__(
        self,
        basis: FilterBasis,
        in_fields: int,
        out_fields: int,
        kernel: int,
        stride: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, kernel // 2
        self.in_fields, self.out_fields = in_fields, out_fields
        rows = basis.rows.float().clone()
        self.register_buffer("basis", rows)
        self.register_buffer("index", basis.index.clone())
        self.register_buffer("inverse", basis.index.argsort(1), persistent=False)
        coefficients = torch.randn(out_fields, rows.shape[0], in_fields, generator=generator)
        # the sum of a filter's squares over one output is in_fields * |basis|^2 * variance; it shall be 2
        scale = (2.0 / (in_fields * float(basis.rows.square().sum()))) ** 0.5
        self.weight = nn.Parameter(coefficients * scale)
        self._cached: tuple[Any, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_cached": None}

    def extra_repr(self) -> str:
        """Fields and kernel, for printing."""
        return f"{self.in_fields}, {self.out_fields}, kernel={self.kernel}, group order={len(self.index)}"

    @property
    def expanded_inputs(self) -> int:
        """Channels that the expanded filter takes."""
        return self.in_fields * self.index.shape[1] // self.kernel**2

    def expand(self) -> Float[Tensor, "out_channels in_channels kernel kernel"]:
        """The whole filter, group-major on both sides, stored channels_last."""
        rows = torch.matmul(self.basis.t(), self.weight)
        full = PermutationGather.apply(rows, self.index, self.inverse)
        full = full.view(self.out_fields, -1, self.kernel, self.kernel, self.expanded_inputs)
        return full.transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2)

    def _filter(self) -> Tensor:
        """The filter; kept while nothing can have changed the parameters."""
        if self.training or torch.is_grad_enabled():
            return self.expand()
        key = (self.weight._version, self.weight.data_ptr(), self.weight.dtype, self.basis.data_ptr())
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, self.expand())
        return self._cached[1]

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Convolve.

        Raises:
            ValueError: if the stride breaks the symmetry at this size.
        """
        if self.stride > 1:
            check_window(x.shape[-1], self.kernel, self.stride, self.padding, "GroupConv2d")
        return F.conv2d(x, self._filter(), None, self.stride, self.padding)
