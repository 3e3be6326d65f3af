"""Streamed log-sum-exp of similarities, forward and backward: a table of all pairs is never in memory.

The pairs are walked through in small blocks. For each block the correlation over the group is computed
(`eqssl.losses.group_products`), absorbed to one similarity for each pair, and added to the sum of its row
with a running maximum. The backward pass computes the blocks again. If a set of embeddings is compared with
itself, similarities are symmetric, so each block serves its rows and its columns, and half of the blocks are
left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.block_comparison import BlockComparison
from eqssl.losses.precision import in_full_precision
from eqssl.losses.similarity import ANGLES, Kind, check_kind, check_shapes, pooled
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
        nothing
            to sum.

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
    found: Tensor = _LogSumExp.apply(a, b, G.name, kind, temperature, angles, own)
    return found


def _as_points(z: Tensor) -> Tensor:
    """Embeddings of the trivial group: all numbers are fields."""
    return z.flatten(1)[..., None]


class _Block(NamedTuple):
    """A block of pairs, and whether its columns are rows of their own that have it as a row block."""

    rows: slice
    columns: slice
    mirrored: bool


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
        comparison = BlockComparison(group(name), a.shape[1], angles, kind, temperature, a)
        rows, lengths = comparison.to_rows(a)
        columns, column_lengths = (rows, lengths) if b is None else comparison.to_rows(b)
        top = a.new_full((len(a),), float("-inf"))
        total = a.new_zeros(len(a))
        for i, blocks in _walk(len(rows), len(columns), b is None, comparison.side):
            factors = comparison.products.prepare(rows[i])
            for block in blocks:
                s = comparison.compare(factors, _length(block.rows), columns[block.columns]).similarity
                s.div_(temperature)
                _leave_out_own(s, block, b is None, own)
                _add(top[block.rows], total[block.rows], s, 1)
                if block.mirrored:
                    _add(top[block.columns], total[block.columns], s, 0)
        result = top + total.log()
        ctx.save_for_backward(rows, columns, lengths, column_lengths, result)
        ctx.comparison, ctx.own, ctx.alone = comparison, own, b is None
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Walk through all blocks again, with the share that each pair has in the sums."""
        rows, columns, lengths, column_lengths, result = ctx.saved_tensors
        comparison, alone = ctx.comparison, ctx.alone
        for_a, for_b = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        to_rows = torch.zeros_like(rows)
        to_columns = to_rows if alone else (torch.zeros_like(columns) if for_b else None)
        scaled = gradient / comparison.temperature
        for i, blocks in _walk(len(rows), len(columns), alone, comparison.side):
            factors = comparison.products.prepare(rows[i])
            of_factors: list[Tensor] | None = None
            for block in blocks:
                found = comparison.compare(factors, _length(block.rows), columns[block.columns])
                logits = found.similarity / comparison.temperature
                share = _share(logits, result, scaled, block, alone, ctx.own)
                table = comparison.to_products(found, share)
                if for_a or alone:
                    new = comparison.products.to_factors(table, columns[block.columns])
                    of_factors = new if of_factors is None else _sum(of_factors, new)
                if to_columns is not None and not (alone and not block.mirrored):
                    comparison.products.to_columns(table, factors, to_columns[block.columns])
            if of_factors is not None:
                comparison.products.to_rows(of_factors, to_rows[i])
        to_a = comparison.from_rows(to_rows, rows, lengths) if for_a else None
        to_b = (
            None if alone or to_columns is None else comparison.from_rows(to_columns, columns, column_lengths)
        )
        return to_a, to_b, None, None, None, None, None


def _walk(n: int, m: int, alone: bool, side: int) -> Iterator[tuple[slice, list[_Block]]]:
    """The blocks of all pairs, row after row; of a symmetric table those on and above the diagonal."""
    for i in range(0, n, side):
        rows = slice(i, min(i + side, n))
        starts = range(i if alone else 0, m, side)
        yield rows, [_Block(rows, slice(j, min(j + side, m)), alone and j > i) for j in starts]


def _leave_out_own(s: Tensor, block: _Block, alone: bool, own: int | None) -> None:
    """Set the similarities of embeddings with themselves to minus infinity."""
    offset = 0 if alone else own
    if offset is not None:
        shift = block.rows.start + offset - block.columns.start
        if -s.shape[0] < shift < s.shape[1]:
            s.diagonal(shift).fill_(float("-inf"))


def _add(top: Tensor, total: Tensor, s: Tensor, axis: int) -> None:
    """Add exp(s) along an axis to sums that are kept as total * exp(top)."""
    new = torch.maximum(top, s.amax(axis))
    shift = new.masked_fill(new.isneginf(), 0.0)  # nothing was summed yet
    total.mul_(torch.exp(top - shift)).add_((s - shift.unsqueeze(axis)).exp_().sum(axis))
    top.copy_(new)


def _share(
    logits: Tensor, result: Tensor, scaled: Tensor, block: _Block, alone: bool, own: int | None
) -> Tensor:
    """The gradient of the similarities: softmax over a row times its gradient, and so for columns."""
    _leave_out_own(logits, block, alone, own)
    share = (logits - result[block.rows, None]).exp_().mul_(scaled[block.rows, None])
    if alone and not block.mirrored:
        # rows and columns are the same embeddings: what they get as columns is added to what they get as rows
        share = share + share.t()
    elif block.mirrored:
        share += logits.sub_(result[block.columns]).exp_().mul_(scaled[block.columns])
    return share


def _length(part: slice) -> int:
    length: int = part.stop - part.start
    return length


def _sum(first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
    for one, other in zip(first, second, strict=True):
        one += other
    return first
