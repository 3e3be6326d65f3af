"""Pointwise non-linearities: ReLU on regular fields, and on band-limited fields through samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.nn.constants import ModuleWithConstants
from eqssl.nn.products import transformed

BLOCK = 1024
"""How many pixels are processed at a time on a CPU."""


class FourierELU(ModuleWithConstants):
    """ELU of a band-limited function on the group: sample, apply, and go back to the coefficients.

        y = A' elu(A x) / samples,        A the sampling matrix

    It is exactly equivariant to the sampled elements. To other elements it is equivariant as far as the
    samples resolve the frequencies that ELU creates (Cesa, Lang & Weiler 2022, section 5).

    Args:
        matrix: A, shape (samples, size); see `eqssl.symmetry.fourier.sampling_matrix`.
    """

    matrix: Tensor

    def __init__(self, matrix: Float[Tensor, "samples size"]) -> None:
        super().__init__()
        # a copy, because several layers get the same matrix, and safetensors refuses shared memory
        self.register_constant("matrix", matrix.float().clone(), saved=True)

    def extra_repr(self) -> str:
        """Samples and coefficients, for printing."""
        return f"samples={self.matrix.shape[0]}, coefficients={self.matrix.shape[1]}"

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Apply to fields of coefficients, `channel = coefficient * fields + field`."""
        return _FourierELU.apply(x, self.matrix.to(x.dtype))


class _FourierELU(torch.autograd.Function):
    """Processes blocks of pixels, and computes their samples again in the backward pass.

    A block's samples never leave the processor's cache. Writing and reading all samples would take longer
    than computing them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor) -> Tensor:
        rows, sampling = _pixels(x), _of_all_fields(matrix, x.shape[1])
        back = sampling.t().contiguous() / matrix.shape[0]
        ctx.save_for_backward(rows, sampling, back)

        def activated(rows: Tensor) -> Tensor:
            return transformed(F.elu_(transformed(rows, sampling)), back)

        return _as_maps(_by_blocks(activated, rows), x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, sampling, back = ctx.saved_tensors

        def passed_on(rows: Tensor, gradient: Tensor) -> Tensor:
            samples, arriving = transformed(rows, sampling), transformed(gradient, sampling)
            return transformed(torch.ops.aten.elu_backward(arriving, 1, 1, 1, False, samples), back)

        return _as_maps(_by_blocks(passed_on, rows, _pixels(gradient)), gradient), None


def _by_blocks(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """Apply a function of rows to blocks of them.

    A CUDA device gets all rows at once, because large products are faster there. So does compiled code, where
    a loop would be unrolled.
    """
    if rows[0].is_cuda or torch.compiler.is_compiling():
        return function(*rows)
    result = torch.empty_like(rows[0])
    for start in range(0, len(result), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = function(*(values[block] for values in rows))
    return result


def _of_all_fields(
    matrix: Float[Tensor, "samples size"], channels: int
) -> Float[Tensor, "all_samples channels"]:
    """The matrix applied to every field at once, `channel = coefficient * fields + field`."""
    fields = channels // matrix.shape[1]
    same = torch.eye(fields, dtype=matrix.dtype, device=matrix.device)
    return (matrix[:, None, :, None] * same[:, None, :]).flatten(2).flatten(0, 1)


def _pixels(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "pixels channels"]:
    """A row for each pixel; a view of maps that are channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _as_maps(rows: Float[Tensor, "pixels channels"], like: Tensor) -> Tensor:
    batch, _, height, width = like.shape
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)
