"""Batch normalisation with one statistic per field, which any other choice would make inexact."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FieldBatchNorm(nn.Module):
    """Normalise each regular field over the batch, the plane and the group (Ioffe & Szegedy 2015).

        y = (x - mean_field) / sqrt(var_field + eps) * weight_field + bias_field

    Equal to escnn's `InnerBatchNorm`; a mean per channel would tell the elements of the group apart.
    The statistics are kept in float32 or wider.

    Args:
        fields: number of fields.
        order: order of the group; the input has `order * fields` channels, group-major.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, fields: int, order: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.fields, self.order, self.eps, self.momentum = fields, order, eps, momentum
        self.weight = nn.Parameter(torch.ones(fields))
        self.bias = nn.Parameter(torch.zeros(fields))
        self.register_buffer("running_mean", torch.zeros(fields))
        self.register_buffer("running_var", torch.ones(fields))

    def extra_repr(self) -> str:
        """Fields and order, for printing."""
        return f"{self.fields}, group order={self.order}"

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise; in training mode by the batch's statistics, else by the running ones."""
        if self.training:
            y, mean, variance = _NormaliseFields.apply(x, self.weight, self.bias, self.order, self.eps)
            self._remember(mean, variance, x.numel() // self.fields)
            return y
        mean, variance = self.running_mean.repeat(self.order), self.running_var.repeat(self.order)
        weight, bias = self.weight.repeat(self.order), self.bias.repeat(self.order)
        return nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=self.eps)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        unbiased = variance * (count / max(count - 1, 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


class _NormaliseFields(torch.autograd.Function):
    """Batch norm over fields, made of torch's own per-channel kernels.

    A field's statistics are combined from those of its channels, because torch's reductions over many
    channels are several times faster than over few. Gradients as in Ioffe & Szegedy 2015, section 3, with
    the sums taken over a field's channels.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, order: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        channel_mean, channel_var = torch.batch_norm_update_stats(x, None, None, 0.0)
        # narrow inputs give narrow statistics on some devices
        means = channel_mean.to(weight.dtype).view(order, -1)
        variances = channel_var.to(weight.dtype).view(order, -1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        wide_weight, wide_bias = weight.repeat(order), bias.repeat(order)
        wide_mean, wide_variance = mean.repeat(order), variance.repeat(order)
        y = torch.native_batch_norm(x, wide_weight, wide_bias, wide_mean, wide_variance, False, 0.0, eps)[0]
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.order, ctx.eps = order, eps
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, variance = ctx.saved_tensors
        order, eps = ctx.order, ctx.eps
        wide_mean, wide_variance = mean.repeat(order), variance.repeat(order)
        _, channel_weight, channel_bias = torch.ops.aten.native_batch_norm_backward(
            gradient,
            x,
            weight.repeat(order),
            wide_mean,
            wide_variance,
            None,
            None,
            False,
            eps,
            [False, True, True],
        )
        grad_weight = channel_weight.view(order, -1).sum(0)
        grad_bias = channel_bias.view(order, -1).sum(0)
        # dx = a g + b x + c, constant coefficients per field
        count = x.numel() // len(weight)
        deviation = (variance + eps).rsqrt()
        a = weight * deviation
        b = -a * deviation * grad_weight / count
        c = -a * grad_bias / count - b * mean
        a, b, c = (t.repeat(order).view(1, -1, 1, 1).to(x.dtype) for t in (a, b, c))
        return torch.addcmul(c, x, b).addcmul_(gradient, a), grad_weight, grad_bias, None, None
