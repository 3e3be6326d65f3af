"""Walking through all pairs of embeddings in small blocks, and the gradients on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from eqssl.losses.block_comparison import BlockComparison


class Block(NamedTuple):
    """A block of pairs.

    Attributes:
        rows: of the first embeddings.
        columns: of the second ones.
        mirrored: whether the block stands for its mirror image too, in a symmetric table.
        on_diagonal: whether it is its own mirror image.
    """

    rows: slice
    columns: slice
    mirrored: bool
    on_diagonal: bool

    @property
    def height(self) -> int:
        """Number of rows."""
        count: int = self.rows.stop - self.rows.start
        return count


def walk(n: int, m: int, alone: bool, side: int) -> Iterator[tuple[slice, list[Block]]]:
    """The blocks of n x m pairs, row after row.

    Args:
        n: first embeddings.
        m: second embeddings.
        alone: whether both are the same. The table is symmetric then, and only the blocks on and above its
            diagonal come.
        side: rows and columns of a block.
    """
    for i in range(0, n, side):
        rows = slice(i, min(i + side, n))
        yield (
            rows,
            [
                Block(rows, slice(j, min(j + side, m)), alone and j > i, alone and j == i)
                for j in range(i if alone else 0, m, side)
            ],
        )


def similarities(
    comparison: BlockComparison, rows: Tensor, columns: Tensor | None
) -> Iterator[tuple[Block, Tensor]]:
    """The similarities of each block, in memory that the next one takes.

    Args:
        comparison: compares the embeddings.
        rows: the first embeddings, as rows of unit length.
        columns: the second ones; None if embeddings are compared with themselves.
    """
    others = rows if columns is None else columns
    for part, blocks in walk(len(rows), len(others), columns is None, comparison.side):
        factors = comparison.products.prepare(rows[part])
        for block in blocks:
            yield block, comparison.compare(factors, block.height, others[block.columns]).similarity
    comparison.forget()


def gradients(
    comparison: BlockComparison,
    rows: Tensor,
    columns: Tensor | None,
    wanted: Sequence[bool],
    of_block: Callable[[Tensor, Block], Tensor],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of rows and columns, from those of the similarities; blocks are computed again.

    Args:
        comparison: what compared them.
        rows: the first embeddings, as rows of unit length.
        columns: the second ones; None if embeddings are compared with themselves. Then both gradients are
            summed, and there are none of the columns.
        wanted: whether the gradients of rows and of columns are wanted.
        of_block: from the similarities of a block to their gradient. For a block on the diagonal it is that
            of both halves, for a mirrored one that of the block and of its mirror image.
    """
    alone = columns is None
    columns = rows if columns is None else columns
    to_rows = torch.zeros_like(rows) if wanted[0] else None
    to_columns = to_rows if alone else (torch.zeros_like(columns) if wanted[1] else None)
    products = comparison.products
    for part, blocks in walk(len(rows), len(columns), alone, comparison.side):
        factors = products.prepare(rows[part])
        of_factors: list[Tensor] | None = None
        for block in blocks:
            found = comparison.compare(factors, block.height, columns[block.columns])
            table = comparison.to_products(found, of_block(found.similarity, block))
            if to_rows is not None:
                of_factors = _sum(of_factors, products.to_factors(table, columns[block.columns]))
            if to_columns is not None and not block.on_diagonal:
                products.to_columns(table, factors, to_columns[block.columns])
        if to_rows is not None and of_factors is not None:
            products.to_rows(of_factors, to_rows[part])
    comparison.forget()
    return to_rows, None if alone else to_columns


def _sum(first: list[Tensor] | None, second: list[Tensor]) -> list[Tensor]:
    if first is None:
        return second
    for one, other in zip(first, second, strict=True):
        one += other
    return first
