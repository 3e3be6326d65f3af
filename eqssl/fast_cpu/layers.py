"""Convolution of a released network, faster on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from eqssl.fast_cpu import packed, winograd
from eqssl.nn.onednn import may_compute
from eqssl.nn.plain import PlainConv2d
from eqssl.nn.pooling import as_channels_last

FEWEST_NUMBERS = 2**12
"""How many numbers a map must have to be convolved with a filter in oneDNN's own layout."""


class FastConv2d(PlainConv2d):
    """`PlainConv2d` that keeps its filter in oneDNN's own layout until the filter changes.

    A change through `.data` goes unnoticed, because torch does not count it.

    Args:
        plain: the layer that it replaces. It takes over the layer's parameters and hooks.
    """

    def __init__(self, plain: PlainConv2d) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(plain.__dict__)
        self._kept: tuple[tuple[int, int], Tensor, dict[str, Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # oneDNN's layout can be neither copied nor pickled, so it is made again
        return {**super().__getstate__(), "_kept": None}

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Convolve."""
        if not may_compute(x, self.weight) or packed.problem() is not None:
            return super().forward(x)
        if self.weight.is_inference():
            # torch does not count changes of an inference tensor
            return super().forward(x)
        if self.down == "no" and winograd.pays(x, len(self.weight), self.kernel):
            x = as_channels_last(x)
            points = self._made("points", lambda: winograd.filters_at_points(self.weight, x))
            return winograd.convolve_at_points(x, points, self.bias, self.kernel)
        # on larger maps it costs little to convert the filter each time, and on smaller ones torch is faster
        if not FEWEST_NUMBERS <= x.numel() <= self.weight.numel():
            return super().forward(x)
        x, side, padding = as_channels_last(x), x.shape[-1], (self.kernel // 2,) * 2
        form = "boxed" if self.is_boxed(side) else "plain"
        filters = self._made(form, lambda: packed.pack(self.filter(side), x.shape, self.stride, padding))
        return packed.convolve(x, filters, self.bias, self.stride, padding)

    def _made(self, form: str, make: Callable[[], Any]) -> Any:
        """The filter in this form: the kept one, or else a new one."""
        key, kept = (self.weight._version, self.weight.data_ptr()), self._kept
        if kept is None or kept[0] != key:
            # the weight is held, so that no other tensor can have its address
            kept = self._kept = (key, self.weight.detach(), {})
        if form not in kept[2]:
            kept[2][form] = make()
        return kept[2][form]
