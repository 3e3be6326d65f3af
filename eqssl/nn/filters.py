"""How coefficients in a filter basis fill whole filters, and the gradient back to the coefficients.

A basis (`eqssl.symmetry.filter_bases`) holds canonical rows and, for every entry of a whole filter, the
place of a canonical row that it equals.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def flat_index(index: Int[Tensor, "outputs entries"], out_fields: int) -> Int[Tensor, " whole"]:
    """Where each entry of all filters stands among the canonical rows of all fields.

    Args:
        index: see `eqssl.symmetry.filter_bases.FilterBasis`.
        out_fields: fields that go out; `rows[field, entry]` is flattened to `field * canonical + entry`.

    Returns:
        For the output, field and entry of a whole filter, flattened in that order, the canonical place.
    """
    canonical = int(index.max()) + 1
    fields = torch.arange(out_fields, device=index.device)[None, :, None]
    return (fields * canonical + index.long()[:, None]).flatten()


def inverse_index(flat: Int[Tensor, " whole"]) -> Int[Tensor, "canonical share"]:
    """For each canonical place the entries of the whole filters that equal it, as many for each."""
    return flat.argsort(stable=True).view(int(flat.max()) + 1, -1)


class Expansion(torch.autograd.Function):
    """The whole filters: canonical rows from their coefficients, and `whole[e] = rows[flat[e]]`.

    Every row is met equally often. The backward pass sums the gradients of the entries that equal a row,
    found with `inverse_index(flat)`: no scattered additions, so it gives the same bits every time on every
    device. Both passes are in the precision of the coefficients whatever autocast says, also in generated
    code, where a product's derived gradient would follow the autocast of the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        weight: Float[Tensor, "out_fields dimension in_fields"],
        basis: Float[Tensor, "dimension canonical"],
        flat: Int[Tensor, " whole"],
        inverse: Int[Tensor, "canonical_of_all share"],
        dtype: torch.dtype,
    ) -> Float[Tensor, "whole in_fields"]:
        """Fill the whole filters, rounded to that dtype."""
        ctx.save_for_backward(basis, inverse)
        ctx.dtype = weight.dtype
        with torch.autocast(weight.device.type, enabled=False):
            rows = torch.matmul(basis.t(), weight).flatten(0, 1)
            # equal numbers are rounded to equal ones, and there are fewer of them before the gather
            return rows.to(dtype).index_select(0, flat)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Sum what every copy says of each canonical entry, then of each coefficient."""
        basis, inverse = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            rows = _summed(gradient, inverse, ctx.dtype)
            coefficients = torch.matmul(basis, rows.unflatten(0, (-1, basis.shape[1])))
            return coefficients.contiguous(), None, None, None, None


def _summed(gradient: Tensor, inverse: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum over each row of `inverse` of the gradient's rows that it names."""
    if gradient.is_cuda or torch.compiler.is_compiling():
        # fewer and smaller kernels there, and one when compiled
        copies = gradient.index_select(0, inverse.flatten()).unflatten(0, inverse.shape)
        return copies.sum(1, dtype=dtype)
    return F.embedding_bag(inverse, gradient.to(dtype).contiguous(), mode="sum")
