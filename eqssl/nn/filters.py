"""How coefficients in a filter basis fill whole filters, and the gradient back to the coefficients.

A basis (`eqssl.symmetry.filter_bases`) holds canonical rows and, for every entry of a whole filter, the
position of the entry of a canonical row that it equals.
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
        out_fields: number of output fields; `rows[field, entry]` is flattened to `field * canonical + entry`.

    Returns:
        For the output, field and entry of a whole filter, flattened in that order, the canonical place.
    """
    canonical = int(index.max()) + 1
    fields = torch.arange(out_fields, device=index.device)[None, :, None]
    return (fields * canonical + index.long()[:, None]).flatten()


def inverse_index(flat: Int[Tensor, " whole"]) -> Int[Tensor, "canonical share"]:
    """For each canonical place, the entries of the whole filters that equal it; all have equally many."""
    return flat.argsort(stable=True).view(int(flat.max()) + 1, -1)


class Expansion(torch.autograd.Function):
    """The whole filters: canonical rows from their coefficients, and `whole[e] = rows[flat[e]]`.

    Every row is copied equally often, so the backward pass can sum the gradients of its copies with
    `inverse_index(flat)`. That takes no scattered additions, and gives the same bits every time on every
    device. Both passes use the precision of the coefficients, whatever autocast says. This holds in compiled
    code too, where the gradient that torch derives for a product would follow the autocast of the forward
    pass.
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
            # rounded before the gather, where there are fewer numbers; equal numbers stay equal
            return rows.to(dtype).index_select(0, flat)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Sum the gradients of all copies of each canonical entry, then pass them on to the coefficients."""
        basis, inverse = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            rows = _summed(gradient, inverse, ctx.dtype)
            coefficients = torch.matmul(basis, rows.unflatten(0, (-1, basis.shape[1])))
            return coefficients.contiguous(), None, None, None, None


def _summed(gradient: Tensor, inverse: Tensor, dtype: torch.dtype) -> Tensor:
    """For each row of `inverse`, the sum of the rows of the gradient that it lists."""
    if gradient.is_cuda or torch.compiler.is_compiling():
        # this takes fewer and smaller kernels on CUDA, and a single one when compiled
        copies = gradient.index_select(0, inverse.flatten()).unflatten(0, inverse.shape)
        return copies.sum(1, dtype=dtype)
    return F.embedding_bag(inverse, gradient.to(dtype).contiguous(), mode="sum")
