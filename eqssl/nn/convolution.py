"""Lifting and group convolution, run as one plain convolution with an expanded filter."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.constants import ModuleWithConstants
from eqssl.nn.exactness import check_window
from eqssl.nn.filters import Expansion, flat_index, inverse_index
from eqssl.symmetry.filter_bases import FilterBasis

Down = Literal["no", "boxed", "strided"]


class GroupConv2d(ModuleWithConstants):
    """Convolution from images or fields to fields, bit for bit equivariant on the pixel grid.

    The parameters are the coefficients of each pair of fields in the filter basis. The layer owns the basis
    and saves it, because coefficients mean nothing without it.

    With `down="boxed"` the layer halves maps of every size exactly. On even sizes it takes the mean of the
    convolution over 2 x 2 pixels; both together are one convolution with stride 2 and a filter that is one
    pixel wider. On odd sizes it applies the filter with stride 2. With `down="strided"` it applies the filter
    with stride 2 on every size. This is exact on odd sizes; even ones are refused, except for the trivial
    group.

    Args:
        basis: see `eqssl.symmetry.filter_bases.filter_basis`; "lift" for images, "group" for fields.
        in_fields: number of input fields (image channels, for "lift").
        out_fields: number of output fields.
        kernel: side of the filter, odd.
        down: whether and how the side of the map is halved.
        generator: draws the first coefficients: each filter has variance 2 / fan-in (He et al. 2015).

    Example:
        >>> import torch
        >>> from eqssl.symmetry.filter_bases import filter_basis
        >>> lift = GroupConv2d(filter_basis("C4", "lift", 3), 1, 8, 3)
        >>> lift(torch.randn(2, 1, 28, 28)).shape  # 8 fields of 4 channels
        torch.Size([2, 32, 28, 28])
    """

    basis: Tensor
    index: Tensor
    flat: Tensor
    inverse: Tensor

    def __init__(
        self,
        basis: FilterBasis,
        in_fields: int,
        out_fields: int,
        kernel: int,
        down: Down = "no",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.kernel, self.down, self.padding = kernel, down, kernel // 2
        self.in_fields, self.out_fields = in_fields, out_fields
        rows = basis.rows.float().clone()
        self.register_constant("basis", rows, saved=True)
        self.register_constant("index", basis.index.to(torch.int32), saved=True)
        flat = flat_index(basis.index, out_fields)
        self.register_constant("flat", flat.to(torch.int32))
        self.register_constant("inverse", inverse_index(flat).to(torch.int32))
        # in float64, because torch's normal numbers in float32 depend on the processor's instructions
        shape = (out_fields, rows.shape[0], in_fields)
        coefficients = torch.randn(shape, dtype=torch.float64, generator=generator)
        # the sum of a filter's squares over one output, in_fields * |row|^2 * variance, is scaled to 2
        outputs = rows.shape[1] / self.index.shape[1]
        scale = (2.0 * outputs / (in_fields * float(basis.rows.square().sum()))) ** 0.5
        self.weight = nn.Parameter((coefficients * scale).to(torch.get_default_dtype()))
        self._kept: tuple[Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_kept": None}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.flat.copy_(flat_index(self.index, self.out_fields))
        self.inverse.copy_(inverse_index(self.flat))

    def extra_repr(self) -> str:
        """Fields and kernel, for printing."""
        down = "" if self.down == "no" else f", down={self.down}"
        return (
            f"{self.in_fields}, {self.out_fields}, kernel={self.kernel}, field size={len(self.index)}{down}"
        )

    @property
    def expanded_inputs(self) -> int:
        """Channels that the expanded filter takes."""
        return self.in_fields * self.index.shape[1] // self.kernel**2

    def expand(
        self, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "out_channels in_channels kernel kernel"]:
        """The whole filter, group-major on both sides, stored channels_last.

        Args:
            dtype: type of the result, to which it is rounded last; None for the type of the weights.
        """
        # rounding once, at the end, halves the error
        precision = dtype or self.weight.dtype
        basis = self.basis.to(self.weight.dtype)
        whole = Expansion.apply(self.weight, basis, self.flat, self.inverse, precision)
        return whole.view(-1, self.kernel, self.kernel, self.expanded_inputs).permute(0, 3, 1, 2)

    def _precision(self) -> torch.dtype:
        """What the convolution will round the filter to."""
        place, own = self.weight.device.type, self.weight.dtype
        # autocast narrows float32 alone, and the mean of boxed filters comes before the rounding
        if own != torch.float32 or self.down == "boxed" or not torch.is_autocast_enabled(place):
            return own
        return torch.get_autocast_dtype(place)

    def _filter(self) -> Tensor:
        """The filter. In eval mode on a CPU it is kept and reused while the weights stay the same.

        The weights are compared with a copy, because an exponential moving average may change them without
        autograd noticing. On other devices a comparison would wait for the device, so the filter is made
        anew.
        """
        if self.training or torch.is_grad_enabled() or self.weight.is_cuda or torch.compiler.is_compiling():
            return self.expand(self._precision())
        kept, dtype = self._kept, self._precision()
        if (
            kept is None
            or kept[0].dtype != self.weight.dtype
            or kept[1].dtype != dtype
            or not torch.equal(kept[0], self.weight)
        ):
            kept = self._kept = (self.weight.detach().clone(), self.expand(dtype))
        return kept[1]

    def check(self, size: int) -> None:
        """Refuse a map on which the stride would break the symmetry.

        Raises:
            ValueError: names the layer, the size, and the nearest sizes that work.
        """
        # the trivial group has no symmetry that a stride could break
        if self.down == "strided" and len(self.index) > 1:
            check_window(size, self.kernel, 2, self.padding, "GroupConv2d")

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Convolve.

        Raises:
            ValueError: if the stride breaks the symmetry at this size.
        """
        self.check(x.shape[-1])
        weight = self._filter()
        if self.down == "no":
            return F.conv2d(x, weight, None, 1, self.padding)
        if self.down == "boxed" and x.shape[-1] % 2 == 0:
            weight = boxed_filter(weight)
        return F.conv2d(x, weight, None, 2, self.padding)


def boxed_filter(
    weight: Float[Tensor, "out_channels in_channels kernel kernel"],
) -> Float[Tensor, "out_channels in_channels wider wider"]:
    """The filter, one pixel wider, of a convolution followed by the mean over 2 x 2 pixels with stride 2.

    Use it with stride 2 and the padding of the narrow filter, kernel // 2.
    """
    return F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, 1)
