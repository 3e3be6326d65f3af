"""Batch norm over fields in elementary operations: on a CUDA device, and for torch.compile.

The compiler joins elementary operations to their neighbours, which it cannot do with torch's own batch norm.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.nn.statistics import along_constant, as_constants, count_of_field, of_fields, repeated


class NormaliseElementary(torch.autograd.Function):
    """What `eqssl.nn.normalisation.FieldBatchNorm` computes in training mode.

    Every number of a field is an expression of a few others, so no extra kernel has to repeat numbers for
    channels or sum constants. The gradient is written out too, because the one that the compiler would derive
    from the forward pass reads the maps more often.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "batch channels height width"],
        weight: Float[Tensor, " fields"],
        bias: Float[Tensor, " fields"],
        fourier: bool,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The normalised maps, and mean and variance of the fields."""
        ctx.set_materialize_grads(False)
        size = x.shape[1] // len(weight)
        wide = x.to(weight.dtype)
        channel_var, channel_mean = torch.var_mean(wide, (0, 2, 3), correction=0)
        mean, variance = of_fields(channel_mean, channel_var, size, fourier)
        scale = repeated(weight * (variance + eps).rsqrt(), size)
        y = (wide - _in_plane(as_constants(mean, size, fourier))) * _in_plane(scale)
        y = y + _in_plane(as_constants(bias, size, fourier))
        # when torch 2.11 traces this, an output that `to` returns unchanged gets gradients of zero
        y = y if y.dtype == x.dtype else y.to(x.dtype)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.fourier, ctx.eps = fourier, eps
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients of the maps, the weights and the biases; see `eqssl.nn.normalisation`."""
        x, weight, mean, variance = ctx.saved_tensors
        size, fourier = x.shape[1] // len(weight), ctx.fourier
        deviation = (variance + ctx.eps).rsqrt()
        wide = gradient.to(weight.dtype)
        # not written as above, because the compiler would keep the maps of an expression that both passes
        # share
        centred = x.to(weight.dtype) + _in_plane(as_constants(-mean, size, fourier))
        grad_bias = along_constant(wide.sum((0, 2, 3)), size, fourier)
        grad_centred = (wide * centred).sum((0, 2, 3)).view(size, -1).sum(0)
        count = count_of_field(x, len(weight), fourier)
        slope = grad_centred * deviation.square() / count
        grad_x = wide - centred * _in_plane(repeated(slope, size))
        grad_x = grad_x - _in_plane(as_constants(grad_bias / count, size, fourier))
        grad_x = (grad_x * _in_plane(repeated(weight * deviation, size))).to(x.dtype)
        return grad_x, grad_centred * deviation, grad_bias, None, None


def _in_plane(values: Float[Tensor, " channels"]) -> Float[Tensor, "1 channels 1 1"]:
    """One number per channel, in a shape that broadcasts over maps."""
    if not values.is_cuda:
        # on a CPU a loop over maps is vectorised only if it reads these numbers from contiguous memory; the
        # compiler would rather compute them in the loop, but it never looks into a scatter
        values = torch.zeros_like(values).scatter(0, torch.arange(len(values), device=values.device), values)
    return values.view(1, -1, 1, 1)
