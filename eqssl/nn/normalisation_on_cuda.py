"""Batch norm over regular fields on a CUDA device, with torch's kernels for batch norm over many devices."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class NormaliseOnCuda(torch.autograd.Function):
    """What `eqssl.nn.normalisation.FieldBatchNorm` computes in training mode, and the running statistics.

    Synchronised batch norm combines the statistics of one channel on many devices; here the elements of the
    group take the place of devices, since the channels of group-major maps are (size, fields). So the large
    kernels see as many channels as in an ordinary batch norm, which they are made for: taken as a wider
    plane with few channels, the same maps take nearly twice as long. The rest is a handful of small kernels.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "batch channels height width"],
        weight: Float[Tensor, " fields"],
        bias: Float[Tensor, " fields"],
        running_mean: Float[Tensor, " fields"],
        running_var: Float[Tensor, " fields"],
        momentum: float,
        eps: float,
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise, and change the running statistics in place."""
        batch, channels, height, width = x.shape
        size = channels // len(weight)
        channel_mean, channel_deviation = torch.batch_norm_stats(x, eps)
        mean, deviation = torch.batch_norm_gather_stats_with_counts(
            x,
            channel_mean.view(size, -1),
            channel_deviation.view(size, -1),
            running_mean,
            running_var,
            momentum,
            eps,
            running_mean.new_full((size,), batch * height * width),
        )
        wide = torch.stack([weight, bias, mean, deviation]).repeat(1, size)
        factor, summand, wide_mean, wide_deviation = wide
        y: Tensor = torch.batch_norm_elemt(x, factor, summand, wide_mean, wide_deviation, eps)
        ctx.save_for_backward(x, wide)
        ctx.size = size
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the maps, the weights and the biases."""
        x, wide = ctx.saved_tensors
        weight, _, mean, deviation = wide
        if x.is_contiguous(memory_format=torch.channels_last):
            gradient = gradient.contiguous(memory_format=torch.channels_last)
        channel_sums = torch.batch_norm_backward_reduce(
            gradient, x, mean, deviation, None, True, False, False
        )
        sums = torch.stack(channel_sums[:2]).unflatten(1, (ctx.size, -1)).sum(1)
        grad_bias, grad_centred = sums
        wide_bias, wide_centred = sums.repeat(1, ctx.size)
        count = torch.full((ctx.size,), x.numel() // len(mean), dtype=torch.int32, device=x.device)
        grad_x: Tensor = torch.batch_norm_backward_elemt(
            gradient, x, mean, deviation, weight, wide_bias, wide_centred, count
        )
        return grad_x, grad_centred * deviation[: len(grad_bias)], grad_bias, None, None, None, None
