"""Products of blocks of embeddings from which their correlation over the group is made, and the way back.

An embedding is a row of numbers here: for each coefficient of the group (or each listed element, in the
direct way) its fields. `rows` and `columns` are blocks of embeddings, and the products of all pairs fill a
tensor of shape (products, rows, columns), which `eqssl.losses.log_sum_exp` makes for one small block after
the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.symmetry.constants import constant
from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.harmonics import Block, harmonics

FEW_FIELDS = 4
"""Up to so many fields one large product for all elements is faster than a small one for each irrep."""

Rows = Float[Tensor, "rows numbers"]
Columns = Float[Tensor, "columns numbers"]
Table = Float[Tensor, "products rows columns"]


class GroupProducts(ABC):
    """How the products of all pairs of two blocks are computed.

    Attributes:
        count: products of each pair.
        in_irreps: whether embeddings are given by their coefficients.
    """

    count: int
    in_irreps: ClassVar[bool]

    @abstractmethod
    def prepare(self, rows: Rows) -> list[Tensor]:
        """Rows as factors; they are used with many blocks of columns."""

    @abstractmethod
    def multiply(self, factors: list[Tensor], columns: Columns, out: Table) -> None:
        """Fill the products of all pairs."""

    @abstractmethod
    def to_factors(self, gradient: Table, columns: Columns) -> list[Tensor]:
        """Gradients of the rows' factors from that of the products."""

    @abstractmethod
    def to_rows(self, gradients: list[Tensor], out: Rows) -> None:
        """Add the gradient of the rows, from those of their factors."""

    @abstractmethod
    def to_columns(self, gradient: Table, factors: list[Tensor], out: Columns) -> None:
        """Add the gradient of the columns, from that of the products."""


class DirectProducts(GroupProducts):
    """`<a, rho(g) b>` itself: every row in all its turns, in one product with the columns."""

    in_irreps = False

    def __init__(self, G: Group, device: torch.device) -> None:
        self.count = G.order
        self.turned, self.turned_back = _turned_places(G.name, device)

    def prepare(self, rows: Rows) -> list[Tensor]:
        """For each element the row with its points permuted, `a[g h]`."""
        points = rows.unflatten(1, (self.count, -1))
        return [
            points.index_select(1, self.turned).view(len(rows), self.count, -1).transpose(0, 1).flatten(0, 1)
        ]

    def multiply(self, factors: list[Tensor], columns: Columns, out: Table) -> None:
        """One product for all elements."""
        torch.mm(factors[0], columns.t(), out=out.view(-1, out.shape[2]))

    def to_factors(self, gradient: Table, columns: Columns) -> list[Tensor]:
        """One product."""
        return [gradient.flatten(0, 1) @ columns]

    def to_rows(self, gradients: list[Tensor], out: Rows) -> None:
        """Sum over the elements, each permuted back."""
        turned = gradients[0].view(self.count, len(out), self.count, -1)
        for g, back in zip(turned, self.turned_back, strict=True):
            out += g.index_select(1, back).flatten(1)

    def to_columns(self, gradient: Table, factors: list[Tensor], out: Columns) -> None:
        """One product."""
        out.addmm_(gradient.flatten(0, 1).t(), factors[0])


class FourierProducts(GroupProducts):
    """The products of `eqssl.symmetry.harmonics`, of embeddings given by their coefficients."""

    in_irreps = True

    def __init__(self, G: Group) -> None:
        self.count, self.blocks = G.order, harmonics(G.name).blocks

    def prepare(self, rows: Rows) -> list[Tensor]:
        """For a real irrep the rows of all j below each other; for a rotation also the rotated row."""
        found = []
        for block, part in zip(self.blocks, self._parts(rows), strict=True):
            if block.kind == "lines":
                found.append(part.transpose(0, 1).contiguous())
            elif block.kind == "real":
                found.append(part.transpose(0, 1).flatten(0, 1))
            else:
                x, y = part.unbind(1)
                found.append(torch.cat([torch.cat([x, y], 1), torch.cat([y, -x], 1)]))
        return found

    def multiply(self, factors: list[Tensor], columns: Columns, out: Table) -> None:
        """One product for each irrep and each l."""
        for block, factor, part, table in self._with_tables(factors, columns, out):
            if block.kind == "lines":
                torch.bmm(factor, part.permute(1, 2, 0), out=table)
            elif block.kind == "real":
                for k in range(block.size):
                    torch.mm(
                        factor,
                        part[:, k].t(),
                        out=table[k * block.size : (k + 1) * block.size].view(len(factor), -1),
                    )
            else:
                torch.mm(factor, part.view(len(part), -1).t(), out=table.view(len(factor), -1))

    def to_factors(self, gradient: Table, columns: Columns) -> list[Tensor]:
        """One product for each irrep and each l."""
        found = []
        for block, part in zip(self.blocks, self._parts(columns), strict=True):
            table = gradient[block.start : block.stop]
            if block.kind == "lines":
                found.append(torch.bmm(table, part.transpose(0, 1)))
            elif block.kind == "real":
                below = table.unflatten(0, (block.size, block.size)).flatten(1, 2)
                total = below[0] @ part[:, 0]
                for k in range(1, block.size):
                    total.addmm_(below[k], part[:, k])
                found.append(total)
            else:
                found.append(table.flatten(0, 1) @ part.view(len(part), -1))
        return found

    def to_rows(self, gradients: list[Tensor], out: Rows) -> None:
        """Undo `prepare`."""
        for block, given, part in zip(self.blocks, gradients, self._parts(out), strict=True):
            if block.kind == "lines":
                part += given.transpose(0, 1)
            elif block.kind == "real":
                part += given.view(block.size, len(out), -1).transpose(0, 1)
            else:
                straight, rotated = given.view(2, len(out), 2, -1)
                part += straight
                part[:, 0] -= rotated[:, 1]
                part[:, 1] += rotated[:, 0]

    def to_columns(self, gradient: Table, factors: list[Tensor], out: Columns) -> None:
        """One product for each irrep and each l."""
        for block, factor, part, table in self._with_tables(factors, out, gradient):
            if block.kind == "lines":
                part += torch.bmm(table.transpose(1, 2), factor).transpose(0, 1)
            elif block.kind == "real":
                below = table.unflatten(0, (block.size, block.size)).flatten(1, 2)
                for k in range(block.size):
                    part[:, k].addmm_(below[k].t(), factor)
            else:
                part.view(len(part), -1).addmm_(table.flatten(0, 1).t(), factor)

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """The numbers of each block, as views of shape (rows, size, copies x fields)."""
        fields = rows.shape[1] // self.count
        return [
            rows[:, block.start * fields : block.stop * fields].unflatten(1, (block.size, -1))
            for block in self.blocks
        ]

    def _with_tables(
        self, factors: list[Tensor], columns: Tensor, table: Tensor
    ) -> list[tuple[Block, Tensor, Tensor, Tensor]]:
        parts = self._parts(columns)
        return [
            (block, factor, part, table[_tables(block)])
            for block, factor, part in zip(self.blocks, factors, parts, strict=True)
        ]


def _tables(block: Block) -> slice:
    return slice(block.start, block.stop)


def way(G: Group, fields: int, device: torch.device) -> GroupProducts:
    """The faster of the two ways for that many fields."""
    if G.order == 1 or fields > FEW_FIELDS:
        return FourierProducts(G)
    return DirectProducts(G, device)


@constant
def _turned_places(name: str, device: torch.device) -> tuple[Int[Tensor, " all"], Int[Tensor, "order order"]]:
    """The places g h for each g and h, flattened; and the places g^-1 h for each g."""
    G = group(name)
    return G.product.flatten().to(device), G.product[G.inverse].to(device)
