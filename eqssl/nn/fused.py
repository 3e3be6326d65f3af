"""Convolution, sum and ReLU in one pass over memory: inference of a released network on a CPU.

The operations are oneDNN's, in the form that torch has for code which torch.compile generates; here they
run without a compiler. They know no gradients, so they run where gradients are off; elsewhere torch's own do.
Their ReLU gives 0 for NaN, so images that are not finite run through torch's own as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn import small_maps, winograd
from eqssl.nn.convolution import boxed_filter
from eqssl.nn.eager import is_eager
from eqssl.nn.processor import convolves_bfloat16, runs_onednn

_allowed = ContextVar("allowed", default=True)


@dataclass(frozen=True)
class Window:
    """How a filter is laid over a map.

    Attributes:
        stride: in pixels.
        padding: of the map, in pixels.
        boxed: whether the filter is first made a pixel wider by `boxed_filter`.
    """

    stride: int
    padding: int
    boxed: bool

    def filter(self, weight: Tensor) -> Tensor:
        """What the map is convolved with."""
        return boxed_filter(weight) if self.boxed else weight


def fused_precision(x: Tensor, weight: Tensor) -> torch.dtype | None:
    """The precision of this convolution by `FusedConvolution`, the same as by torch; None if it cannot do it.

    It can where gradients are off, on an x86 CPU, in float32 and bfloat16; not where a program is traced,
    transformed or compiled, which brings a fusion of its own, nor within `torchs_own`.
    """
    if not (_runs_as_written() and _allowed.get()):
        return None
    # a subclass may stand for a tensor without numbers
    ordinary = type(x) is Tensor and type(weight) in (Tensor, nn.Parameter) and x.is_cpu and weight.is_cpu
    if not (ordinary and runs_onednn()):
        return None
    dtypes = {x.dtype, weight.dtype}
    if torch.is_autocast_enabled("cpu") and torch.float64 not in dtypes:
        dtypes = {torch.get_autocast_dtype("cpu")}
    if dtypes == {torch.float32} or (dtypes == {torch.bfloat16} and convolves_bfloat16()):
        return dtypes.pop()
    return None


def hides_numbers(images: Tensor) -> bool:
    """Whether a network of fused convolutions would make 0 of numbers that are not finite.

    Only those of the images are seen, not those that a network makes of finite images.
    """
    # they stay in a sum
    return _runs_as_written() and type(images) is Tensor and images.is_cpu and not images.sum().isfinite()


@contextmanager
def torchs_own() -> Iterator[None]:
    """Run torch's own operations within."""
    before = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(before)


def _runs_as_written() -> bool:
    """Whether operations run one after the other, on numbers, and keep nothing for gradients."""
    return is_eager() and not torch.is_grad_enabled()


class _Placed(NamedTuple):
    """Padding, stride and dilation of a convolution, down and to the right."""

    padding: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]


class _Kept:
    """What is made from a weight, for as long as the weight is the same."""

    def __init__(self) -> None:
        # replaced as a whole, since other threads may be reading it
        self._kept: tuple[tuple[int, object], Tensor, Any] | None = None

    def get(self, weight: Tensor, form: object, make: Callable[[], Any]) -> Any:
        """What was made from it in this form, or is made now."""
        key, kept = (weight._version, form), self._kept
        if kept is None or kept[0] != key or kept[1].data_ptr() != weight.data_ptr():
            # the weight is held, so that no other can take its place in memory
            kept = self._kept = (key, weight.detach(), make())
        return kept[2]


class FusedConvolution:
    """`relu(conv(x) + bias + summand)`; keeps the filter as oneDNN reads it for as long as it is the same.

    A filter that is written through `.data`, whose changes torch does not count, is not seen to change.
    """

    def __init__(self) -> None:
        self._ordered, self._at_points = _Kept(), _Kept()

    def __reduce__(self) -> tuple[type[FusedConvolution], tuple[()]]:
        # what is kept can be neither copied nor pickled; it is made anew
        return FusedConvolution, ()

    def __call__(
        self,
        x: Float[Tensor, "batch in_channels height width"],
        weight: Float[Tensor, "out_channels in_channels kernel kernel"],
        bias: Float[Tensor, " out_channels"] | None,
        window: Window,
        precision: torch.dtype,
        rectified: bool,
        target: Float[Tensor, "batch out_channels out_height out_width"] | None = None,
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Apply.

        Args:
            x: the map.
            weight: the filter.
            bias: a summand for each channel.
            window: how the filter lies on the map.
            precision: that of the result, from `fused_precision`.
            rectified: whether ReLU comes last.
            target: the summand, over which the result is written, as `can_be_target` allows; None for none.
        """
        x = _channels_last(x.to(precision))
        bias = None if bias is None else bias.to(precision)
        out_channels, _, kernel, _ = weight.shape
        keeps_size = window.stride == 1 and not window.boxed and window.padding == kernel // 2
        # filters of which torch does not count the changes would have to be made each time
        made = x.dtype == weight.dtype == torch.float32 and not weight.is_inference()
        if keeps_size and made and winograd.pays(x, out_channels, kernel):
            filters = self._at_points.get(weight, None, lambda: winograd.packed(weight.detach(), x))
            return winograd.convolve(x, filters, bias, rectified, target)
        if not (keeps_size and small_maps.pays(x, out_channels, kernel)):
            placed = _Placed((window.padding,) * 2, (window.stride,) * 2, (1, 1))
            return _convolved(x, self._filter(x, weight, window, placed), bias, placed, rectified, target)
        rows, (padding, dilation) = small_maps.interleaved(x), small_maps.geometry(kernel, len(x))
        placed = _Placed(padding, (1, 1), dilation)
        ordered = self._filter(rows, weight, window, placed)
        into = None if target is None else small_maps.interleaved(target)
        found = small_maps.apart(_convolved(rows, ordered, bias, placed, rectified, into), len(x))
        return _channels_last(found) if target is None else target.copy_(found)

    def _filter(self, x: Tensor, weight: Tensor, window: Window, placed: _Placed) -> Tensor:
        """The filter for a map, in the map's precision."""
        if weight.is_inference():
            # torch does not count its changes
            return window.filter(weight).to(x.dtype)

        def ordered() -> Tensor:
            plain = window.filter(weight.detach()).to(x.dtype)
            return torch.ops.mkldnn._reorder_convolution_weight(plain, *placed, 1, list(x.shape))

        result: Tensor = self._ordered.get(weight, (window, x.dtype, placed), ordered)
        return result


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    placed: _Placed,
    rectified: bool,
    target: Tensor | None,
) -> Tensor:
    relu = "relu" if rectified else None
    result: Tensor
    if target is None:
        result = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *placed, 1, relu or "none", [], "")
    else:
        into = torch.ops.mkldnn._convolution_pointwise_
        result = into(target, x, weight, bias, *placed, 1, "add", 1.0, relu, [], "")
    return result


def can_be_target(summand: Tensor, precision: torch.dtype) -> bool:
    """Whether a result of that precision can be written over a summand: the same precision and layout."""
    last = summand.is_contiguous(memory_format=torch.channels_last)
    return type(summand) is Tensor and last and summand.dtype == precision


def _channels_last(x: Tensor) -> Tensor:
    """The map, its channels next to each other in memory, with strides that say so.

    Of a single channel torch takes any strides for both layouts, and oneDNN for the slower one. Views, since
    vmap has no `contiguous` for this layout.
    """
    rows = x.permute(0, 2, 3, 1).flatten(2)
    return rows.unflatten(2, (x.shape[3], x.shape[1])).permute(0, 3, 1, 2)
