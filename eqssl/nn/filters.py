"""Filters of group convolutions: escnn's basis, made exact, and how it fills a whole filter.

A filter K from fields over the set I (one point for an image, the group for regular fields) to regular
fields commutes with the group iff

    K[g o, g i](g x) = K[o, i](x)        for every element g, output o, input i and place x,

so the row of the identity, K[e, i](x), determines it. escnn samples a basis of such filters; its rows at
the identity, averaged over the orbit in float64 (escnn samples in float32), are the `FilterBasis`, and one
gather of permutations fills the other rows: filters are equivariant to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Kind = Literal["lift", "group"]


@dataclass(frozen=True)
class FilterBasis:
    """What a convolution needs to know of its group.

    Attributes:
        rows: identity rows of the basis filters, shape (dimension, places * inputs), place-major.
        index: for each output element, the entry of the identity row that each entry of its row equals,
            shape (outputs, places * inputs); each row of the table is a permutation.
    """

    rows: Float[Tensor, "dimension entries"]
    index: Int[Tensor, "outputs entries"]


def filter_basis(group_name: str, kind: Kind, kernel: int) -> FilterBasis:
    """The basis of filters from images (`lift`) or regular fields (`group`) to regular fields.

    Raises:
        ValueError: for an unknown group.
    """
    # on the CPU whatever the default device is, as the bases serve every network of the process
    with torch.device("cpu"):
        return _sample(group_name, kind, kernel)


@cache
def _sample(group_name: str, kind: Kind, kernel: int) -> FilterBasis:
    from eqssl.symmetry import _escnn, group

    G = group(group_name)
    source = [G.gspace.trivial_repr if kind == "lift" else G.gspace.regular_repr]
    convolution = _escnn.nn.R2Conv(
        _escnn.nn.FieldType(G.gspace, source),
        _escnn.nn.FieldType(G.gspace, [G.gspace.regular_repr]),
        kernel,
        bias=False,
        initialize=False,
    )
    sampled = _sampled_basis(convolution)
    index = _identity_entries(G, convolution, kind)
    # sampled: (dimension, outputs, inputs, places) -> (dimension, outputs, places * inputs)
    by_place = sampled.transpose(2, 3).flatten(2)
    inverse = index.argsort(1)
    turned_back = torch.stack([by_place[:, o, inverse[o]] for o in range(G.order)])
    return FilterBasis(turned_back.mean(0), index)


def _sampled_basis(convolution: Any) -> Tensor:
    """Escnn's sampled basis in float64, shape (dimension, outputs, inputs, places)."""
    expansion = convolution.basisexpansion
    (pair,) = expansion._representations_pairs
    block = getattr(expansion, f"block_expansion_{expansion._escape_pair(pair)}")
    basis: Tensor = block.sampled_basis.double()
    return basis


def _identity_entries(G: Any, convolution: Any, kind: Kind) -> Tensor:
    """K[o, i](x) = K[e, o^-1 i](o^-1 x): the entry (o^-1 x, o^-1 i) for every o and every (x, i)."""
    points = np.asarray(convolution.basisexpansion.points)
    inputs = 1 if kind == "lift" else G.order
    rows = []
    for o in range(G.order):
        back = G.inverse[o]
        # A (orthogonal) acts on row vectors from the right by its transpose; its inverse by itself
        moved = points @ np.asarray(G.gspace.basespace_action(G.elements[o]))
        place = torch.from_numpy(np.abs(moved[:, None] - points[None]).max(-1).argmin(1))
        source = torch.zeros(1, dtype=torch.int64) if kind == "lift" else G.product[back]
        rows.append((place[:, None] * inputs + source[None, :]).flatten())
    return torch.stack(rows)


class PermutationGather(torch.autograd.Function):
    """`out[f, o, c, i] = rows[f, index[o, c], i]`, where every `index[o]` is a permutation.

    The backward pass gathers with the inverse permutations and sums over o: no scattered additions, so it
    gives the same bits every time on every device.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        """Fill all rows of the filters from the identity's."""
        ctx.save_for_backward(inverse)
        outputs, entries = index.shape
        gathered = rows.index_select(1, index.flatten())
        return gathered.view(rows.shape[0], outputs, entries, rows.shape[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Sum what every output's row says of each entry of the identity's row."""
        (inverse,) = ctx.saved_tensors
        outputs, entries = inverse.shape
        offsets = torch.arange(outputs, device=inverse.device)[:, None] * entries
        flat = gradient.flatten(1, 2).index_select(1, (inverse + offsets).flatten())
        return flat.view(gradient.shape).sum(1), None, None
