"""Similarities of equivariant embeddings: plain, or absorbing a turn of each."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.block_comparison import BlockComparison
from eqssl.losses.blocks import Block, gradients, similarities
from eqssl.losses.derivatives import first_derivative
from eqssl.losses.kinds import ANGLES, Kind, check_kind, check_shapes, pooled, unit
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group, group


def plain_similarity(
    a: Float[Tensor, "n fields order"], b: Float[Tensor, "m fields order"]
) -> Float[Tensor, "n m"]:
    """Cosine of the flattened embeddings, `<a, b> / (|a| |b|)`. Turning one input changes it.

    Example:
        >>> import torch
        >>> a, b = torch.randn(3, 16, 4), torch.randn(5, 16, 4)
        >>> plain_similarity(a, b).shape
        torch.Size([3, 5])
    """
    return unit(a).flatten(1) @ unit(b).flatten(1).t()


@in_full_precision
def absorbed_similarity(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"],
    G: Group,
    kind: Kind = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, "n m"]:
    """Similarity that does not change when either input is turned.

    Mukuta & Harada (arXiv 2303.04427) ask for a loss that absorbs the transformation of each input. Any loss
    that depends on the embeddings through these similarities does.

        max:      max over g of <a, rho(g) b>
        align:    the same number: b is turned by the best element, found without gradient, then compared
        softmax:  tau log mean over g of exp(<a, rho(g) b> / tau)
        pool:     <mean over g of a, mean over g of b>

    For max, align and softmax, a and b are first normalised to length 1; for pool, their means are. The
    correlation over the group is computed in blocks and never kept, see `eqssl.losses.block_comparison`.

    Args:
        a: embeddings of n images; the last axis follows `G.elements`.
        b: embeddings of m images.
        G: the group.
        kind: max, align, softmax or pool.
        temperature: tau of softmax.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        All n x m similarities, between -1 and 1.

    Raises:
        ValueError: if there is no such kind, or the shapes do not fit each other or the group.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z = torch.randn(2, 3, 4)
        >>> turned = act_on_regular(G, z, G.elements[1])
        >>> bool(torch.allclose(absorbed_similarity(z, turned, G), absorbed_similarity(z, z, G), atol=1e-6))
        True
    """
    check_kind(kind)
    check_shapes(a, b, G)
    if G.order == 1:
        return plain_similarity(a, b)
    if kind == "pool":
        return plain_similarity(pooled(a), pooled(b))
    found: Tensor = _Absorbed.apply(a, b, G.name, kind, temperature, angles)
    return found


@in_full_precision
def similarity(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, "n m"]:
    """`absorbed_similarity`, or `plain_similarity` for kind None."""
    if kind is None:
        check_shapes(a, b, G)
        return plain_similarity(a, b)
    return absorbed_similarity(a, b, G, kind, temperature, angles)


class _Absorbed(torch.autograd.Function):
    """`absorbed_similarity` through the correlation of one block after the other."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, name: str, kind: Kind, temperature: float, angles: int
    ) -> Tensor:
        """Walk through all blocks once."""
        comparison = BlockComparison(
            group(name), a.shape[1], angles, kind, temperature, a, max(len(a), len(b))
        )
        rows, row_lengths = comparison.to_rows(a)
        columns, column_lengths = comparison.to_rows(b)
        found = a.new_empty(len(a), len(b))
        for block, part in similarities(comparison, rows, columns):
            found[block.rows, block.columns] = part
        ctx.save_for_backward(rows, columns, row_lengths, column_lengths)
        ctx.comparison = comparison
        return found

    @staticmethod
    @first_derivative
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Walk through all blocks again."""
        rows, columns, row_lengths, column_lengths = ctx.saved_tensors

        def of_block(similarity: Tensor, block: Block) -> Tensor:
            return gradient[block.rows, block.columns]

        wanted = ctx.needs_input_grad[:2]
        to_rows, to_columns = gradients(ctx.comparison, rows, columns, wanted, of_block)
        to_a = None if to_rows is None else ctx.comparison.from_rows(to_rows, rows, row_lengths)
        to_b = None if to_columns is None else ctx.comparison.from_rows(to_columns, columns, column_lengths)
        return to_a, to_b, None, None, None, None
