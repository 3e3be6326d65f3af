"""The basis of a group's equivariant filters, which convolutions are made of; the same on every machine.

A filter K from fields to fields commutes with the group iff, for every element g and place x,

    K(g x) = rho_out(g) K(x) rho_in(g)^-1.

The space of filters is escnn's. Escnn finds a basis of it numerically, and the result differs between
processors. Here the canonical basis of the space is used (`eqssl.symmetry.canonical`), so that coefficients
mean the same everywhere. Its axes are escnn's rings and frequencies.

Fields of a finite group are regular: K[g o, g i](g x) = K[o, i](x). Every filter is made of one band-limited
function f_i (`eqssl.symmetry.scalar_filters`) for each input i, and every choice of functions gives a filter:

    K[o, i](x) = f_{o^-1 i}(o^-1 x).

A row is the part of the filter for one output. The elements h that map the pixel grid to itself move the
outputs, and one row of each of their orbits determines the others. (There is one orbit for the groups that
are exact on pixels, and two for C8 and D8.) The basis holds these rows. The whole filter is gathered from
them by permutations, so it is bit for bit equivariant under every h.

Fields of SO2 and O2 hold Fourier coefficients, which a turn mixes instead of permuting, so the basis holds
every row (`eqssl.symmetry.fourier_filters`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.symmetry.canonical import canonical_basis, in_float32, rounded
from eqssl.symmetry.fourier_filters import fourier_filters
from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.scalar_filters import grid_points, scalar_filters

Kind = Literal["lift", "group"]


@dataclass(frozen=True)
class FilterBasis:
    """What a convolution needs to know about its group.

    Attributes:
        rows: the rows of the basis filters that determine the others, one after the other, shape
            (dimension, rows * entries), where the entries of a row are its places * inputs, place-major.
            Whole filters, all outputs together, are orthogonal up to the rounding of float32, and the mean
            over the outputs of the sum of squares is 1. So a change of one coefficient changes a filter of
            any group as much as the same change of one pixel changes a plain filter.
        index: for each output, where each entry of its row stands in `rows`, shape (outputs, entries); each
            row of the table is a permutation of the entries of one of the rows.
    """

    rows: Float[Tensor, "dimension canonical"]
    index: Int[Tensor, "outputs entries"]


@cache
def filter_basis(group_name: str, kind: Kind, kernel: int) -> FilterBasis:
    """The basis of filters from images (`lift`) or fields (`group`) to fields of a group.

    Args:
        group_name: name of the group.
        kind: what the convolution takes.
        kernel: side of the filter, odd.

    Raises:
        ValueError: for an unknown group.
    """
    # on the CPU whatever the default device is, because the bases serve every network of the process
    with torch.device("cpu"):
        G = group(group_name)
        if G.is_continuous:
            rows = torch.from_numpy(fourier_filters(G, kind == "lift", kernel))
            _, outputs, entries = rows.shape
            return FilterBasis(rows.flatten(1), torch.arange(outputs * entries).view(outputs, entries))
        return FilterBasis(_regular_rows(G, kind, kernel), _row_entries(G, kind, kernel))


def _regular_rows(G: Group, kind: Kind, kernel: int) -> Float[Tensor, "dimension canonical"]:
    """For each input and each function of the canonical basis, the filter with this function there alone."""
    outputs, points = _row_outputs(G), grid_points(kernel)
    # the points o^-1 x of each row: an orthogonal matrix is inverted by multiplying from the right
    functions = [scalar_filters(kernel, points @ G.matrix(G.elements[o])) for o in outputs]
    spanning = np.concatenate(functions, 1)
    basis = in_float32(rounded(canonical_basis(spanning, spanning)) * np.sqrt(len(outputs)))
    by_row = torch.from_numpy(basis).unflatten(1, (len(outputs), -1))
    if kind == "lift":
        return by_row.flatten(1)
    rows = by_row.new_zeros(len(by_row), G.order, len(outputs), len(points), G.order)
    for row, o in enumerate(outputs):
        for i in range(G.order):
            # f_i meets input o i in the row of output o
            rows[:, i, row, :, G.product[o, i]] = by_row[:, row]
    return rows.flatten(2).flatten(0, 1)


def _row_outputs(G: Group) -> list[int]:
    """The outputs whose rows determine all others: the first of each orbit of the grid's elements."""
    first: list[int] = []
    reached: set[int] = set()
    for output in range(G.order):
        if output not in reached:
            first.append(output)
            reached |= {int(G.product[G.index(h), output]) for h in G.grid_elements}
    return first


def _row_entries(G: Group, kind: Kind, kernel: int) -> Int[Tensor, "outputs entries"]:
    """K[h r, i](x) = K[r, h^-1 i](h^-1 x): the entry (h^-1 x, h^-1 i) of row r, for every output h r."""
    inputs = 1 if kind == "lift" else G.order
    entries = kernel**2 * inputs
    rows: dict[int, Tensor] = {}
    for row, output in enumerate(_row_outputs(G)):
        for h in G.grid_elements:
            back = int(G.inverse[G.index(h)])
            place = _moved_places(G, G.elements[back], kernel)
            source = torch.zeros(1, dtype=torch.int64) if kind == "lift" else G.product[back]
            entry = (place[:, None] * inputs + source[None, :]).flatten()
            rows[int(G.product[G.index(h), output])] = row * entries + entry
    return torch.stack([rows[output] for output in range(G.order)])


def _moved_places(G: Group, element: Any, kernel: int) -> Int[Tensor, " places"]:
    """Where an element that maps the grid to itself sends each place of a filter, row by row from the top."""
    row, column = torch.meshgrid(*[torch.arange(kernel)] * 2, indexing="ij")
    centred = torch.stack([row, column], -1).flatten(0, 1) * 2 - (kernel - 1)
    down, right = ((G.act_on_vectors(centred, element) + kernel - 1) // 2).unbind(-1)
    return down * kernel + right
