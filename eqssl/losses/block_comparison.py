"""Absorbed similarities of blocks of embeddings, computed in memory that is used again for every block."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.group_products import GroupProducts, way
from eqssl.losses.kinds import Kind
from eqssl.symmetry.constants import constant
from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.harmonics import harmonics
from eqssl.symmetry.interpolation import interpolation

BLOCK_BYTES = {"cpu": 3 * 2**20, "cuda": 2**28}
"""Memory of one block's tables: what stays in a core's cache, or is enough work for a GPU."""
EPS = 1e-12
"""Least length that embeddings are divided by, as in `torch.nn.functional.normalize`."""


class Compared(NamedTuple):
    """A block of pairs.

    Attributes:
        similarity: absorbed similarities.
        table: products of each pair.
        values: correlation at the compared elements; for softmax its softmax over them.
    """

    similarity: Float[Tensor, "rows columns"]
    table: Float[Tensor, "products rows columns"]
    values: Float[Tensor, "elements rows columns"]


class BlockComparison:
    """From blocks of embeddings to similarities, and back with gradients.

    Args:
        G: the group.
        fields: of an embedding.
        angles: of SO2 and O2, at how many angles embeddings are compared.
        kind: max, align or softmax; None for a plain product.
        temperature: tau of softmax.
        like: has the device and the type of the embeddings.
        most: how many embeddings are compared at most with as many others.

    Attributes:
        products: how products of pairs are computed.
        side: rows and columns of a block.
    """

    def __init__(
        self,
        G: Group,
        fields: int,
        angles: int,
        kind: Kind | None,
        temperature: float,
        like: Tensor,
        most: int,
    ) -> None:
        self.group, self.kind, self.temperature = G, kind, temperature
        self.products: GroupProducts = way(G, fields, like.device)
        self.basis, self.synthesis = _matrices(
            G.name, angles, self.products.in_irreps, like.device, like.dtype
        )
        elements = self.products.count if self.synthesis is None else len(self.synthesis)
        self.side = min(_side(self.products.count + elements, like), most)
        self._memory: dict[int, Tensor] = {}

    def forget(self) -> None:
        """Give the memory of the blocks back; the next block takes new memory."""
        self._memory = {}

    def to_rows(self, z: Float[Tensor, "n fields order"]) -> tuple[Tensor, Tensor]:
        """Embeddings as rows of unit length, and their lengths."""
        rows = z.new_empty(len(z), z.shape[1] * z.shape[2])
        for part in _chunks(len(z), rows.shape[1]):
            points = z[part].transpose(1, 2)
            out = rows[part].view(-1, z.shape[2], z.shape[1])
            if self.basis is None:
                out.copy_(points)
            else:
                torch.matmul(self.basis.t(), points, out=out)
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(EPS)
        return rows.div_(lengths), lengths

    def from_rows(self, gradient: Tensor, rows: Tensor, lengths: Tensor) -> Float[Tensor, "n fields order"]:
        """The gradient of embeddings, from that of their rows, whose memory it takes."""
        order = self.group.order
        for part in _chunks(len(rows), rows.shape[1]):
            own, unit = gradient[part], rows[part]
            # a change along the row does not change the row of unit length
            own.addcmul_(unit, (own * unit).sum(1, keepdim=True), value=-1).div_(lengths[part])
            if order == 1:
                continue
            points = own.view(len(own), order, -1)
            whole = points if self.basis is None else torch.matmul(self.basis, points)
            own.view(len(own), -1, order).copy_(whole.transpose(1, 2).clone())
        return gradient.view(len(rows), -1, order)

    def compare(self, factors: list[Tensor], rows: int, columns: Tensor) -> Compared:
        """The similarities of a block. It lives in memory that the next block takes.

        Args:
            factors: rows, prepared by `products`.
            rows: how many.
            columns: the other embeddings, as rows of unit length.
        """
        table = self._taken(0, self.products.count, rows, columns)
        self.products.multiply(factors, columns, table)
        if self.synthesis is None:
            values = table
        else:
            values = self._taken(1, len(self.synthesis), rows, columns)
            torch.mm(self.synthesis, table.flatten(1), out=values.flatten(1))
        if self.kind is None:
            return Compared(values[0], table, values)
        similarity = self._log_mean_exp(values) if self.kind == "softmax" else values.amax(0)
        return Compared(similarity, table, values)

    def to_products(
        self, compared: Compared, gradient: Float[Tensor, "rows columns"]
    ) -> Float[Tensor, "products rows columns"]:
        """The gradient of the products, from that of the similarities; it takes the memory of the block."""
        similarity, table, values = compared
        if self.kind is None:
            return gradient[None]
        if self.kind != "softmax":
            # ties share the gradient, as they do in torch's amax
            torch.eq(values, similarity, out=values)
            gradient = gradient / values.sum(0)
        if self.synthesis is None:
            return values.mul_(gradient)
        torch.mm(self.synthesis.t(), values.mul_(gradient).flatten(1), out=table.flatten(1))
        return table

    def _log_mean_exp(self, values: Tensor) -> Tensor:
        """`tau log mean over g of exp(c(g) / tau)`; leaves the softmax over g in the place of the values."""
        top = values.amax(0)
        values.sub_(top).div_(self.temperature).exp_()
        total = values.sum(0)
        values.div_(total)
        return top + self.temperature * (total.log_() - math.log(len(values)))

    def _taken(self, number: int, count: int, rows: int, columns: Tensor) -> Tensor:
        """The memory of that number, for a block."""
        if number not in self._memory:
            self._memory[number] = columns.new_empty(count * self.side**2)
        return self._memory[number][: count * rows * len(columns)].view(count, rows, len(columns))


def _side(tables: int, like: Tensor) -> int:
    """Rows and columns of a block whose tables fit into the memory of a block, a multiple of 32."""
    room = BLOCK_BYTES.get(like.device.type, BLOCK_BYTES["cpu"])
    side = math.isqrt(room // ((tables + 3) * like.element_size()))
    return max(32, side // 32 * 32)


def _chunks(count: int, width: int) -> list[slice]:
    """Rows that are transformed at a time, so that the result of a chunk stays small."""
    step = max(1, 2**17 // width)
    return [slice(i, i + step) for i in range(0, count, step)]


@constant
def _matrices(
    name: str, angles: int, in_irreps: bool, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor | None]:
    """The basis of the rows, and the matrix from products to compared values; None for an identity."""
    G = group(name)
    if G.order == 1:
        return None, None
    between = interpolation(name, angles)
    if not in_irreps:
        return None, between.to(device, dtype) if G.is_continuous else None
    found = harmonics(name)
    return found.basis.to(device, dtype), (between @ found.synthesis).to(device, dtype)
