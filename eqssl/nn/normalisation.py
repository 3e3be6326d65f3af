"""Batch normalisation with one statistic per field, which any other choice would make inexact."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.constants import ModuleWithConstants
from eqssl.nn.normalisation_on_cuda import NormaliseOnCuda


class FieldBatchNorm(ModuleWithConstants):
    """Normalise each field over the batch, the plane and the group (Ioffe & Szegedy 2015).

        y = (x - mean_field e) / sqrt(var_field + eps) * weight_field + bias_field e

    where e is the constant function 1, in the channels of a field: ones for a regular field, (1, 0, ..., 0)
        for
    Fourier coefficients; mean = <e, x> / |e|^2 and var = |x - mean e|^2 / |e|^2, averaged over batch and
    plane. For regular fields equal to escnn's `InnerBatchNorm`; a mean per channel would tell the elements
    of the group apart. The statistics are kept in float32 or wider.

    Args:
        fields: number of fields.
        size: channels of a field; the input has `size * fields` channels, `channel = place * fields + field`.
        fourier: whether the channels are Fourier coefficients.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor
    constant: Tensor

    def __init__(
        self, fields: int, size: int, fourier: bool = False, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.fields, self.size, self.fourier, self.eps, self.momentum = fields, size, fourier, eps, momentum
        constant = torch.zeros(size) if fourier else torch.ones(size)
        constant[0] = 1
        self.register_constant("constant", constant)
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
        return scale.repeat(self.size), torch.outer(self.constant, shift).flatten()

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise; in training mode by the batch's statistics, else by the running ones."""
        if self.training and x.is_cuda and not self.fourier and not torch.compiler.is_compiling():
            statistics = self.running_mean, self.running_var
            return NormaliseOnCuda.apply(x, self.weight, self.bias, *statistics, self.momentum, self.eps)
        if self.training:
            y, mean, variance = _NormaliseFields.apply(x, self.weight, self.bias, self.constant, self.eps)
            self._remember(mean, variance, x.numel() // self.fields)
            return y
        mean = torch.outer(self.constant, self.running_mean).flatten()
        bias = torch.outer(self.constant, self.bias).flatten()
        variance, weight = self.running_var.repeat(self.size), self.weight.repeat(self.size)
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
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, constant: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        if torch.compiler.is_compiling():
            # the faster function below cannot be traced for a batch of any size
            channel_var, channel_mean = torch.var_mean(x.to(weight.dtype), (0, 2, 3), correction=0)
        else:
            channel_mean, channel_var = torch.batch_norm_update_stats(x, None, None, 0.0)
        # narrow inputs give narrow statistics on some devices
        e = constant.to(weight.dtype)[:, None]
        means = channel_mean.to(weight.dtype).view(len(e), -1)
        variances = channel_var.to(weight.dtype).view(len(e), -1)
        share = e / e.square().sum()
        mean = (share * means).sum(0)
        variance = torch.addcmul(variances, means - e * mean, means - e * mean).sum(0) * share[0]
        wide_weight, wide_variance = weight.repeat(len(e)), variance.repeat(len(e))
        wide_bias, wide_mean = (e * bias).flatten(), (e * mean).flatten()
        y: Tensor = torch.native_batch_norm(
            x, wide_weight, wide_bias, wide_mean, wide_variance, False, 0.0, eps
        )[0]
        ctx.save_for_backward(x, weight, mean, variance, e)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor | None) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, variance, e = ctx.saved_tensors
        if gradient.is_cuda and not torch.compiler.is_compiling():
            return *_gradients_on_cuda(gradient, x, weight, mean, variance, e, ctx.eps), None, None
        return *_gradients(gradient, x, weight, mean, variance, e, ctx.eps), None, None


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, e: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weights and the biases."""
    size = len(e)
    _, channel_weight, channel_bias = torch.ops.aten.native_batch_norm_backward(
        gradient,
        x,
        weight.repeat(size),
        (e * mean).flatten(),
        variance.repeat(size),
        None,
        None,
        False,
        eps,
        [False, True, True],
    )
    grad_weight = channel_weight.view(size, -1).sum(0)
    grad_bias = (e * channel_bias.view(size, -1)).sum(0)
    # dx = a g + b x + c e, constant coefficients per field
    count = x.numel() // (len(weight) * size) * e.square().sum()
    deviation = (variance + eps).rsqrt()
    a = weight * deviation
    b = -a * deviation * grad_weight / count
    c = -a * grad_bias / count - b * mean
    a, b, c = (t.view(1, -1, 1, 1).to(x.dtype) for t in (a.repeat(size), b.repeat(size), (e * c).flatten()))
    return torch.addcmul(c, x, b).addcmul_(gradient, a), grad_weight, grad_bias


def _gradients_on_cuda(
    gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, e: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same with the kernels that torch has there for batch norm over many devices.

    They take a channel's sums from outside, and so also the sums over the channels of a field; the function
    above does not run there, as torch's gradient wants a mean that only training leaves behind.
    """
    size, deviation = len(e), (variance + eps).rsqrt()
    if x.is_contiguous(memory_format=torch.channels_last):
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    wide_mean, wide_deviation = (e * mean).flatten(), deviation.repeat(size)
    channel_bias, channel_weight, _, _ = torch.batch_norm_backward_reduce(
        gradient, x, wide_mean, wide_deviation, None, True, False, False
    )
    grad_bias = (e * channel_bias.view(size, -1)).sum(0)
    grad_centred = channel_weight.view(size, -1).sum(0)
    # a field has |e|^2 numbers for each place that count: all channels of a regular one, one of a Fourier one
    places = x.numel() // (len(weight) * size)
    count = (e.square().sum() * places).to(torch.int32).view(1)
    grad_x: Tensor = torch.batch_norm_backward_elemt(
        gradient,
        x,
        wide_mean,
        wide_deviation,
        weight.repeat(size),
        (e * grad_bias).flatten(),
        grad_centred.repeat(size),
        count,
    )
    return grad_x, grad_centred * deviation, grad_bias
