"""Pointwise non-linearities: ReLU on regular fields, and on band-limited fields through samples."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FourierELU(nn.Module):
    """ELU of a band-limited function on the group: sample, apply, and go back to the coefficients.

        y = A' elu(A x) / samples,        A the sampling matrix

    Exactly equivariant to the sampled elements; to others as far as the samples resolve the frequencies
    that ELU makes (Cesa, Lang & Weiler 2022, section 5).

    Args:
        matrix: A, shape (samples, size); see `eqssl.nn.fourier.sampling_matrix`.
    """

    matrix: Tensor

    def __init__(self, matrix: Float[Tensor, "samples size"]) -> None:
        super().__init__()
        # a copy, since layers are given the same matrix, and safetensors refuses shared memory
        self.register_buffer("matrix", matrix.float().clone())

    def extra_repr(self) -> str:
        """Samples and coefficients, for printing."""
        return f"samples={self.matrix.shape[0]}, coefficients={self.matrix.shape[1]}"

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Apply to fields of coefficients, `channel = coefficient * fields + field`."""
        return _FourierELU.apply(x, self.matrix.to(x.dtype))


class _FourierELU(torch.autograd.Function):
    """Keeps the samples after ELU alone: where they are negative, its derivative is one more than they."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor) -> Tensor:
        samples = F.elu_(_mixed(x, matrix))
        ctx.save_for_backward(samples, matrix)
        return _mixed(samples, matrix.t() / len(matrix))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        samples, matrix = ctx.saved_tensors
        gradient = _mixed(gradient, matrix / len(matrix))
        gradient = torch.ops.aten.elu_backward(gradient, 1, 1, 1, True, samples)
        return _mixed(gradient, matrix.t()), None


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    """The matrix applied to the coefficients of every field at every place."""
    fields = x.shape[1] // matrix.shape[1]
    same = torch.eye(fields, dtype=x.dtype, device=x.device)
    weight = (matrix[:, None, :, None] * same[:, None, :]).flatten(2).flatten(0, 1)
    return F.conv2d(x, weight[:, :, None, None])
