"""Convolution of small maps on a CPU, with the images of a batch next to each other in every row.

Filters stand partly beyond the edge of a map: of a 3 x 3 filter's products with a row of 4 pixels a sixth
meets padding, of a 5 x 5 filter's three tenths. And rows of 4 pixels fill few of a processor's registers.
Here the pixel of column w and image n is number `w * batch + n` of one long row. There a filter's columns are
whole batches apart (a dilation), so that products with padding fall away in blocks, and blocks are full.
"""

from __future__ import annotations

from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.nn.eager import is_eager
from eqssl.nn.pooling import as_channels_last
from eqssl.nn.processor import multiplies_bfloat16, runs_onednn

# as measured on AMD Zen 5, and in float32 with the instructions of AVX2 alone too
_WIDEST = 8
_FEWEST_ROWS_OF_CHANNELS = 2048
_FEWEST_CHANNELS = {3: 192, 5: 128, 7: 128}
# torch runs smaller maps without oneDNN
_FEWEST_NUMBERS = 20480


def pays(x: Float[Tensor, "batch in_channels height width"], out_channels: int, kernel: int) -> bool:
    """Whether this convolution, with stride 1, takes less time so, the copies before and after it included.

    Args:
        x: the map, of the type that it is convolved in.
        out_channels: channels that go out.
        kernel: side of the filter; the padding is `kernel // 2`.
    """
    batch, in_channels, _, width = x.shape
    ordinary = type(x) is Tensor and x.is_cpu and is_eager()
    if not ordinary or kernel == 1 or batch == 1 or width > _WIDEST or x.numel() <= _FEWEST_NUMBERS:
        return False
    # harmonic mean
    channels = 2 / (1 / in_channels + 1 / out_channels)
    if x.dtype == torch.bfloat16:
        # without such instructions it is slower
        return batch * channels >= _FEWEST_ROWS_OF_CHANNELS and multiplies_bfloat16() and runs_onednn()
    beyond = kernel // 2 * (kernel // 2 + 1)
    often_beyond = 6 * beyond >= width * kernel
    enough = often_beyond and channels >= _FEWEST_CHANNELS.get(kernel, inf)
    return x.dtype == torch.float32 and enough and runs_onednn()


def interleaved(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "1 channels height width_of_all"]:
    """The map with its images next to each other in every row, channels_last."""
    batch, channels, height, width = x.shape
    rows = x.permute(2, 3, 0, 1).contiguous()
    return rows.view(1, height, width * batch, channels).permute(0, 3, 1, 2)


def apart(
    rows: Float[Tensor, "1 channels height width_of_all"], batch: int
) -> Float[Tensor, "batch channels height width"]:
    """The inverse of `interleaved`, a view."""
    pixels = rows[0].permute(1, 2, 0)
    return pixels.unflatten(1, (-1, batch)).permute(2, 3, 0, 1)


def geometry(kernel: int, batch: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding and dilation of the filter on interleaved maps."""
    padding = kernel // 2
    return (padding, padding * batch), (1, batch)


def convolve(
    x: Float[Tensor, "batch in_channels height width"],
    weight: Float[Tensor, "out_channels in_channels kernel kernel"],
) -> Float[Tensor, "batch out_channels height width"]:
    """The convolution with stride 1 and a padding that keeps the size.

    Args:
        x: the map.
        weight: the filter, of the same type.

    Returns:
        The new map, in channels_last.
    """
    result: Tensor = _Convolution.apply(x, weight)
    return result


class _Convolution(torch.autograd.Function):
    """With gradients of its own, as one of them is faster on maps that are not interleaved."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        padding, dilation = geometry(weight.shape[-1], len(x))
        return as_channels_last(apart(F.conv2d(interleaved(x), weight, None, 1, padding, dilation), len(x)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        # sums over pixels of float32 are slow on long rows
        for_weight_apart = for_weight and x.dtype == torch.float32
        for_weight_here = for_weight and not for_weight_apart
        grad_x = grad_weight = None
        if for_x or for_weight_here:
            rows = interleaved(gradient), interleaved(x)
            placed = geometry(weight.shape[-1], len(x))
            grad_x, grad_weight = _gradients(*rows, weight, *placed, for_x, for_weight_here)
            grad_x = None if grad_x is None else as_channels_last(apart(grad_x, len(x)))
        if for_weight_apart:
            placed = geometry(weight.shape[-1], 1)
            _, grad_weight = _gradients(gradient, x, weight, *placed, False, True)
        return grad_x, grad_weight


def _gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    padding: tuple[int, int],
    dilation: tuple[int, int],
    for_x: bool,
    for_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    mask = [for_x, for_weight, False]
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], padding, dilation, False, [0, 0], 1, mask
    )
    return found[0], found[1]
