"""Streamed log-sum-exp of similarities, forward and backward: a table of all pairs is never in memory.

The pairs are walked through in small blocks. For each block the correlation over the group is computed
(`eqssl.losses.group_products`), absorbed to one similarity for each pair, and added to the sum of its row
with a running maximum. The backward pass computes the blocks again. If a set of embeddings is compared with
itself, similarities are symmetric, so each block serves its rows and its columns, and half of the blocks are
left out.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.block_comparison import BlockComparison
from eqssl.losses.blocks import Block, gradients, similarities
from eqssl.losses.derivatives import first_derivative
from eqssl.losses.kinds import ANGLES, Kind, check_kind, check_shapes, pooled
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group, group


@in_full_precision
def log_sum_exp(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"] | None,
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
    own: int | None = None,
) -> Float[Tensor, " n"]:
    """`log sum over k of exp(s(a_i, b_k) / t)` for each i, with s of `eqssl.losses.similarity.similarity`.

    Args:
        a: embeddings; the last axis follows `G.elements`.
        b: embeddings that they are compared with; None for a itself, where the sum leaves out k = i.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain cosine.
        temperature: t, and tau of softmax.
        angles: of SO2 and O2, at how many angles embeddings are compared.
        own: where a stands in b: `b[own + i]` is a_i itself and left out of its sum.

    Returns:
        In float32, or float64 for embeddings of that type, whatever autocast says.

    Raises:
        ValueError: if there is no such kind, the shapes do not fit each other or the group, or there is
            nothing to sum.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> log_sum_exp(torch.randn(6, 16, 4), torch.randn(9, 16, 4), group("C4")).shape
        torch.Size([6])
    """
    check_kind(kind)
    check_shapes(a, a if b is None else b, G)
    others = len(a) - 1 if b is None else len(b) - (own is not None)
    if others < 1:
        raise ValueError(f"given {len(a)} embeddings and {others} others, allowed: at least one other")
    if kind == "pool":
        a, b = pooled(a), None if b is None else pooled(b)
    if kind in (None, "pool") or G.order == 1:
        a, b = _as_points(a), None if b is None else _as_points(b)
        G, kind = group("trivial"), None
    own = 0 if b is None else own
    found: Tensor = _LogSumExp.apply(a, b, G.name, kind, temperature, angles, own)
    return found


def _as_points(z: Tensor) -> Tensor:
    """Embeddings of the trivial group: all numbers are fields."""
    return z.flatten(1)[..., None]


class _LogSumExp(torch.autograd.Function):
    """See `log_sum_exp`. The backward pass keeps the embeddings, as rows of unit length, and the result."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor | None,
        name: str,
        kind: Kind | None,
        temperature: float,
        angles: int,
        own: int | None,
    ) -> Tensor:
        """Walk through all blocks once."""
        most = len(a) if b is None else max(len(a), len(b))
        comparison = BlockComparison(group(name), a.shape[1], angles, kind, temperature, a, most)
        rows, lengths = comparison.to_rows(a)
        columns, column_lengths = (None, None) if b is None else comparison.to_rows(b)
        top = a.new_full((len(a),), float("-inf"))
        total = a.new_zeros(len(a))
        for block, s in similarities(comparison, rows, columns):
            s.div_(temperature)
            _leave_out_own(s, block, own)
            _add(top[block.rows], total[block.rows], s, 1)
            if block.mirrored:
                _add(top[block.columns], total[block.columns], s, 0)
        result = top + total.log()
        ctx.save_for_backward(rows, lengths, columns, column_lengths, result)
        ctx.comparison, ctx.own = comparison, own
        return result

    @staticmethod
    @first_derivative
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Walk through all blocks again, with the share that each pair has in the sums."""
        rows, lengths, columns, column_lengths, result = ctx.saved_tensors
        comparison, own = ctx.comparison, ctx.own
        scaled = gradient / comparison.temperature

        def of_block(similarity: Tensor, block: Block) -> Tensor:
            logits = similarity / comparison.temperature
            _leave_out_own(logits, block, own)
            return _share(logits, result, scaled, block)

        to_rows, to_columns = gradients(comparison, rows, columns, ctx.needs_input_grad[:2], of_block)
        to_a = None if to_rows is None else comparison.from_rows(to_rows, rows, lengths)
        to_b = None if to_columns is None else comparison.from_rows(to_columns, columns, column_lengths)
        return to_a, to_b, None, None, None, None, None


def _leave_out_own(s: Tensor, block: Block, own: int | None) -> None:
    """Set the similarities of embeddings with themselves to minus infinity."""
    if own is not None:
        shift = block.rows.start + own - block.columns.start
        if -s.shape[0] < shift < s.shape[1]:
            s.diagonal(shift).fill_(float("-inf"))


def _add(top: Tensor, total: Tensor, s: Tensor, axis: int) -> None:
    """Add exp(s) along an axis to sums that are kept as total * exp(top)."""
    new = torch.maximum(top, s.amax(axis))
    shift = new.masked_fill(new.isneginf(), 0.0)  # nothing was summed yet
    total.mul_(torch.exp(top - shift)).add_((s - shift.unsqueeze(axis)).exp_().sum(axis))
    top.copy_(new)


def _share(logits: Tensor, result: Tensor, scaled: Tensor, block: Block) -> Tensor:
    """The gradient of the similarities: softmax over a row times its gradient, and so for columns."""
    share = (logits - result[block.rows, None]).exp_().mul_(scaled[block.rows, None])
    if block.on_diagonal:
        # rows and columns are the same embeddings: what they get as columns is added to what they get as rows
        share = share + share.t()
    elif block.mirrored:
        share += logits.sub_(result[block.columns]).exp_().mul_(scaled[block.columns])
    return share
