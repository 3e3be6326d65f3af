"""Batch normalisation with one mean and variance per field; any other choice would break the symmetry."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.nn.normalisation_elementary import NormaliseElementary
from eqssl.nn.statistics import along_constant, as_constants, count_of_field, of_fields, repeated


class FieldBatchNorm(nn.Module):
    """Normalise each field over the batch, the plane and the group (Ioffe & Szegedy 2015).

        y = (x - mean_field e) / sqrt(var_field + eps) * weight_field + bias_field e

    where e is the constant function 1 in the channels of a field (`eqssl.nn.statistics`); mean =
    <e, x> / |e|^2 and var = |x - mean e|^2 / |e|^2, averaged over batch and plane. For regular fields this
    equals escnn's `InnerBatchNorm`. A mean per channel would treat the elements of the group differently. The
    statistics are kept in float32 or float64.

    Args:
        fields: number of fields.
        size: channels of a field; the input has `size * fields` channels, `channel = place * fields + field`.
        fourier: whether the channels are Fourier coefficients.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics.

    Example:
        >>> import torch
        >>> maps = torch.randn(2, 32, 28, 28)  # 8 fields of 4 channels
        >>> FieldBatchNorm(8, 4)(maps).shape
        torch.Size([2, 32, 28, 28])
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
        """By the batch's statistics: with torch's kernels for batch norm on a CPU, else written out."""
        parameters, running = (self.weight, self.bias), (self.running_mean, self.running_var)
        if x.is_cuda or torch.compiler.is_compiling():
            y, mean, variance = NormaliseElementary.apply(x, *parameters, self.fourier, self.eps)
            with torch.no_grad():
                _remember(*running, mean, variance, x.numel() // self.fields, self.momentum)
            return y
        return _NormaliseFields.apply(x, *parameters, *running, self.fourier, self.momentum, self.eps)


def _remember(
    running_mean: Tensor, running_var: Tensor, mean: Tensor, variance: Tensor, count: int, momentum: float
) -> None:
    unbiased = variance * (count / max(count - 1, 1))
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    running_var.lerp_(unbiased.to(running_var.dtype), momentum)


class _NormaliseFields(torch.autograd.Function):
    """Batch norm over fields on a CPU, made of torch's own per-channel kernels.

    A field's statistics are combined from those of its channels, because torch's reductions over many
    channels are several times faster than over few. Gradients as in Ioffe & Szegedy 2015, section 3, with
    the sums taken over a field's channels.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        fourier: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        size = x.shape[1] // len(weight)
        means, variances = torch.batch_norm_update_stats(x, *_running(x, weight.dtype), 0.0)
        mean, variance = of_fields(means.to(weight.dtype), variances.to(weight.dtype), size, fourier)
        _remember(running_mean, running_var, mean, variance, x.numel() // len(weight), momentum)
        wide_weight, wide_variance = repeated(weight, size), repeated(variance, size)
        wide_bias, wide_mean = as_constants(bias, size, fourier), as_constants(mean, size, fourier)
        y: Tensor = torch.native_batch_norm(
            x, wide_weight, wide_bias, wide_mean, wide_variance, False, 0.0, eps
        )[0]
        ctx.save_for_backward(x, wide_weight, wide_mean, wide_variance)
        ctx.fields, ctx.fourier, ctx.eps = len(weight), fourier, eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        found = _gradients(gradient, x, ctx.fields, weight, mean, variance, ctx.fourier, ctx.eps)
        return (*found, None, None, None, None, None)


def _running(x: Tensor, dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    """Running statistics that make torch's kernel give the batch's statistics in the given type.

    Without them, the statistics of half-precision maps would be rounded to the maps' type. A mean far from
    zero would then be wrong by a large share of the deviation.
    """
    if x.dtype == dtype:
        return None, None
    # any numbers will do, and one tensor can serve as both: the kernel only updates them
    unread = x.new_empty(x.shape[1], dtype=dtype)
    return unread, unread


def _gradients(
    gradient: Tensor,
    x: Tensor,
    fields: int,
    weight: Float[Tensor, " channels"],
    mean: Float[Tensor, " channels"],
    variance: Float[Tensor, " channels"],
    fourier: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input, the weights and the biases.

    `weight`, `mean` and `variance` hold each field's number once for each of its channels.
    """
    size = x.shape[1] // fields
    if x.dtype != weight.dtype and x.is_contiguous(memory_format=torch.channels_last):
        # with another memory layout, torch sums half-precision maps in half precision
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    _, channel_weight, channel_bias = torch.ops.aten.native_batch_norm_backward(
        gradient, x, weight, mean, variance, None, None, False, eps, [False, True, True]
    )
    grad_weight = channel_weight.view(size, -1).sum(0)
    grad_bias = along_constant(channel_bias, size, fourier)
    # dx = a g + b (x - mean e) + c e
    count = count_of_field(x, fields, fourier)
    deviation = (variance + eps).rsqrt()
    a = weight * deviation
    b = -a * deviation * repeated(grad_weight, size) / count
    c = -a * as_constants(grad_bias, size, fourier) / count
    if x.dtype == weight.dtype:
        grad_x = torch.addcmul((c - b * mean).view(1, -1, 1, 1), x, b.view(1, -1, 1, 1))
    else:
        # batch norm's kernel is faster than a product of half-precision maps, and does not round its factors
        grad_x = torch.native_batch_norm(x, b, c, mean, torch.ones_like(mean), False, 0.0, 0.0)[0]
    return grad_x.addcmul_(gradient, a.to(x.dtype).view(1, -1, 1, 1)), grad_weight, grad_bias
