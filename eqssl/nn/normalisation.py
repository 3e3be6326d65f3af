"""Batch normalisation with one statistic per field, which any other choice would make inexact."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.normalisation_compiled import NormaliseCompiled
from eqssl.nn.normalisation_on_cuda import NormaliseOnCuda
from eqssl.nn.statistics import along_constant, as_constants, count_of_field, of_fields, repeated


class FieldBatchNorm(nn.Module):
    """Normalise each field over the batch, the plane and the group (Ioffe & Szegedy 2015).

        y = (x - mean_field e) / sqrt(var_field + eps) * weight_field + bias_field e

    where e is the constant function 1 in the channels of a field (`eqssl.nn.statistics`); mean =
    <e, x> / |e|^2 and var = |x - mean e|^2 / |e|^2, averaged over batch and plane. For regular fields equal
    to escnn's `InnerBatchNorm`; a mean per channel would tell the elements of the group apart. The
    statistics are kept in float32 or wider.

    Args:
        fields: number of fields.
        size: channels of a field; the input has `size * fields` channels, `channel = place * fields + field`.
        fourier: whether the channels are Fourier coefficients.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, fields: int, size: int, fourier: bool = False, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.fields, self.size, self.fourier, self.eps, self.momentum = fields, size, fourier, eps, momentum
        self.weight = nn.Parameter(torch.ones(fields))
        self.bias = nn.Parameter(torch.zeros(fields))
        self.register_buffer("running_mean", torch.zeros(fields))
        self.register_buffer("running_var", torch.ones(fields))

    def extra_repr(self) -> str:
        """Fields and their size, for printing."""
        return f"{self.fields}, field size={self.size}" + (", fourier" if self.fourier else "")

    def affine(self) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
        """Factor and summand of each channel in eval mode."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return repeated(scale, self.size), as_constants(shift, self.size, self.fourier)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise; in training mode by the batch's statistics, else by the running ones."""
        if self.training:
            return self._normalise(x)
        mean = as_constants(self.running_mean, self.size, self.fourier)
        bias = as_constants(self.bias, self.size, self.fourier)
        variance, weight = repeated(self.running_var, self.size), repeated(self.weight, self.size)
        return nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=self.eps)

    def _normalise(self, x: Tensor) -> Tensor:
        """By the batch's statistics, in the form that is fastest where it runs."""
        if x.is_cuda and not self.fourier and not torch.compiler.is_compiling():
            statistics = self.running_mean, self.running_var
            return NormaliseOnCuda.apply(x, self.weight, self.bias, *statistics, self.momentum, self.eps)
        form = NormaliseCompiled if torch.compiler.is_compiling() else _NormaliseFields
        y, mean, variance = form.apply(x, self.weight, self.bias, self.fourier, self.eps)
        self._remember(mean, variance, x.numel() // self.fields)
        return y

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
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, fourier: bool, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        size = x.shape[1] // len(weight)
        means, variances = torch.batch_norm_update_stats(x, *_running(x, weight.dtype), 0.0)
        mean, variance = of_fields(means.to(weight.dtype), variances.to(weight.dtype), size, fourier)
        wide_weight, wide_variance = repeated(weight, size), repeated(variance, size)
        wide_bias, wide_mean = as_constants(bias, size, fourier), as_constants(mean, size, fourier)
        y: Tensor = torch.native_batch_norm(
            x, wide_weight, wide_bias, wide_mean, wide_variance, False, 0.0, eps
        )[0]
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.fourier, ctx.eps = fourier, eps
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, variance = ctx.saved_tensors
        gradients = _gradients_on_cuda if gradient.is_cuda else _gradients
        return *gradients(gradient, x, weight, mean, variance, ctx.fourier, ctx.eps), None, None


def _running(x: Tensor, dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    """Running statistics that make torch's kernel give the batch's own in that type, and nothing else.

    On a CPU those of narrow maps would be rounded to the maps' type: a mean far from zero would be wrong by a
    share of the deviation that is anything but small.
    """
    if x.dtype == dtype or x.is_cuda:
        return None, None
    return x.new_zeros(x.shape[1], dtype=dtype), x.new_ones(x.shape[1], dtype=dtype)


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, fourier: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weights and the biases."""
    size = x.shape[1] // len(weight)
    wide_mean = as_constants(mean, size, fourier)
    if x.dtype != weight.dtype and x.is_contiguous(memory_format=torch.channels_last):
        # torch's sums over narrow maps that lie otherwise are narrow too
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    _, channel_weight, channel_bias = torch.ops.aten.native_batch_norm_backward(
        gradient,
        x,
        repeated(weight, size),
        wide_mean,
        repeated(variance, size),
        None,
        None,
        False,
        eps,
        [False, True, True],
    )
    grad_weight = channel_weight.view(size, -1).sum(0)
    grad_bias = along_constant(channel_bias, size, fourier)
    # dx = a g + b (x - mean e) + c e, numbers per field
    count = count_of_field(x, len(weight), fourier)
    deviation = (variance + eps).rsqrt()
    a = weight * deviation
    b = -a * deviation * grad_weight / count
    c = -a * grad_bias / count
    if x.dtype == weight.dtype:
        c = as_constants(c - b * mean, size, fourier)
        a, b, c = (t.view(1, -1, 1, 1) for t in (repeated(a, size), repeated(b, size), c))
        return torch.addcmul(c, x, b).addcmul_(gradient, a), grad_weight, grad_bias
    # the kernel of batch norm is faster than a product of narrow maps, and its factors stay wide
    factors = repeated(b, size), as_constants(c, size, fourier), wide_mean, torch.ones_like(wide_mean)
    grad_x: Tensor = torch.native_batch_norm(x, *factors, False, 0.0, 0.0)[0]
    return grad_x.addcmul_(gradient, repeated(a, size).view(1, -1, 1, 1).to(x.dtype)), grad_weight, grad_bias


def _gradients_on_cuda(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, fourier: bool, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same with the kernels that torch has there for batch norm over many devices.

    They take a channel's sums from outside, and so also the sums over the channels of a field; the function
    above does not run there, as torch's gradient wants a mean that only training leaves behind.
    """
    size, deviation = x.shape[1] // len(weight), (variance + eps).rsqrt()
    if x.is_contiguous(memory_format=torch.channels_last):
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    wide_mean, wide_deviation = as_constants(mean, size, fourier), repeated(deviation, size)
    channel_bias, channel_weight, _, _ = torch.batch_norm_backward_reduce(
        gradient, x, wide_mean, wide_deviation, None, True, False, False
    )
    grad_bias = along_constant(channel_bias, size, fourier)
    grad_centred = channel_weight.view(size, -1).sum(0)
    count = torch.full((1,), count_of_field(x, len(weight), fourier), dtype=torch.int32, device=x.device)
    grad_x: Tensor = torch.batch_norm_backward_elemt(
        gradient,
        x,
        wide_mean,
        wide_deviation,
        repeated(weight, size),
        as_constants(grad_bias, size, fourier),
        repeated(grad_centred, size),
        count,
    )
    return grad_x, grad_centred * deviation, grad_bias
