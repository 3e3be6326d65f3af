"""Batch norm over regular fields as torch's own batch norm of a wider plane: the form for CUDA devices."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def normalise_as_wide(
    x: Float[Tensor, "batch channels height width"],
    weight: Float[Tensor, " fields"],
    bias: Float[Tensor, " fields"],
    running_mean: Float[Tensor, " fields"],
    running_var: Float[Tensor, " fields"],
    training: bool,
    momentum: float,
    eps: float,
) -> Float[Tensor, "batch channels height width"]:
    """Batch norm with one statistic per field, as `eqssl.nn.normalisation.FieldBatchNorm` describes it.

    In group-major channels_last maps the channels of a pixel are rows of `fields` numbers. Taken for pixels,
    they make a plane as many times as wide with `fields` channels, which is a view of the same memory, and
    its ordinary batch norm is that of the fields. (On a CPU torch's reductions over few channels are several
    times slower than over many; on CUDA devices they are not.)

    Args:
        x: group-major maps.
        weight: factor of each field.
        bias: summand of each field.
        running_mean: is changed in training.
        running_var: is changed in training.
        training: whether to use the batch's statistics.
        momentum: weight of the batch in the running statistics.
        eps: added to the variance.
    """
    if training and not torch.compiler.is_compiling():
        return _WideBatchNorm.apply(x, weight, bias, running_mean, running_var, momentum, eps)
    wide = _widened(x, len(weight))
    y = F.batch_norm(wide, running_mean, running_var, weight, bias, training, momentum, eps)
    return _narrowed(y, x.shape)


class _WideBatchNorm(torch.autograd.Function):
    """A function of its own, whose result is no view: activations that work in place copy views twice."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        fields = len(weight)
        y = torch.empty_like(x, memory_format=torch.channels_last)
        mean, deviation = torch.empty_like(running_mean), torch.empty_like(running_var)
        torch.native_batch_norm(
            _widened(x, fields),
            weight,
            bias,
            running_mean,
            running_var,
            True,
            momentum,
            eps,
            out=(_widened(y, fields), mean, deviation),
        )
        ctx.save_for_backward(x, weight, mean, deviation)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, deviation = ctx.saved_tensors
        fields = len(weight)
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            _widened(gradient, fields),
            _widened(x, fields),
            weight,
            None,
            None,
            mean,
            deviation,
            True,
            ctx.eps,
            [True, True, True],
        )
        return _narrowed(grad_x, x.shape), grad_weight, grad_bias, None, None, None, None


def _widened(
    x: Float[Tensor, "batch channels height width"], fields: int
) -> Float[Tensor, "batch fields height wide"]:
    """A view of maps that are channels_last; a copy of others."""
    batch, _, height, _ = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, height, -1, fields).permute(0, 3, 1, 2)


def _narrowed(y: Tensor, shape: torch.Size) -> Float[Tensor, "batch channels height width"]:
    batch, channels, height, width = shape
    return y.permute(0, 2, 3, 1).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
