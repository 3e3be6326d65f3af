"""Convolution by oneDNN with a filter that is converted to its layout once; torch does so in every call."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.nn.onednn import problem_of

Pair = tuple[int, int]


def pack(
    weight: Float[Tensor, "out_channels in_channels rows columns"],
    shape: tuple[int, ...],
    stride: int,
    padding: Pair,
) -> Tensor:
    """The filter in oneDNN's own layout: correct for all maps, fastest for maps of the given shape.

    Raises:
        RuntimeError: from torch, if the filter cannot be converted.
    """
    reorder = torch.ops.mkldnn._reorder_convolution_weight
    result: Tensor = reorder(weight.detach(), padding, (stride, stride), (1, 1), 1, shape)
    return result


def convolve(
    x: Float[Tensor, "batch in_channels height width"],
    filters: Tensor,
    bias: Float[Tensor, " out_channels"] | None,
    stride: int,
    padding: Pair,
) -> Float[Tensor, "batch out_channels out_height out_width"]:
    """Convolution with a filter that `pack` converted for the same stride and padding."""
    place = (padding, (stride, stride), (1, 1), 1)
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, filters, bias, *place, "none", [], "")
    return result


@cache
def problem() -> str | None:
    """What torch changed in the two operations; None if they work as expected."""
    x = torch.linspace(-1, 1, 2 * 8 * 36, dtype=torch.float32, device="cpu").view(2, 8, 6, 6)
    weight = torch.linspace(-1, 1, 4 * 8 * 9, dtype=torch.float32, device="cpu").view(4, 8, 3, 3)
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return problem_of(
            "mkldnn::_reorder_convolution_weight or mkldnn::_convolution_pointwise",
            lambda: convolve(x, pack(weight, x.shape, 2, (1, 1)), None, 2, (1, 1)),
            F.conv2d(x, weight, None, 2, 1),
        )
