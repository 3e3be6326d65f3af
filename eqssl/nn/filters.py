"""Filters of group convolutions: escnn's basis, made exact, and how it fills a whole filter.

A filter K from fields to fields commutes with the group iff, for every element g and place x,

    K(g x) = rho_out(g) K(x) rho_in(g)^-1.

Fields of a finite group are regular: K[g o, g i](g x) = K[o, i](x). Through the elements h that map the
pixel grid to itself, one row of the filter for each of their orbits on the outputs determines all others.
(One row for the groups that are exact on pixels; two for C8 and D8.) escnn samples a basis of such filters,
in float32; its rows, averaged over each orbit in float64, are the `FilterBasis`, and one gather of
permutations fills the whole filter, which is then equivariant to the bit under every h.

Fields of SO2 and O2 hold Fourier coefficients (`eqssl.nn.fourier`), which a turn mixes instead of
permuting: their basis is averaged over the h likewise, and every row is its own.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.nn.fourier import field_representation
from eqssl.symmetry.groups import Group, group

Kind = Literal["lift", "group"]


@dataclass(frozen=True)
class FilterBasis:
    """What a convolution needs to know of its group.

    Attributes:
        rows: the rows of the basis filters that determine the others, one after the other, shape
            (dimension, rows * entries), where the entries of a row are its places * inputs, place-major.
        index: for each output, where each entry of its row stands in `rows`, shape (outputs, entries); each
            row of the table is a permutation of the entries of one of the rows.
    """

    rows: Float[Tensor, "dimension canonical"]
    index: Int[Tensor, "outputs entries"]


def filter_basis(group_name: str, kind: Kind, kernel: int) -> FilterBasis:
    """The basis of filters from images (`lift`) or fields (`group`) to fields of a group.

    Raises:
        ValueError: for an unknown group.
    """
    # on the CPU whatever the default device is, as the bases serve every network of the process
    with torch.device("cpu"):
        return _sample(group_name, kind, kernel)


@cache
def _sample(group_name: str, kind: Kind, kernel: int) -> FilterBasis:
    from eqssl.symmetry import _escnn

    G = group(group_name)
    fields = field_representation(G)
    source = G.gspace.trivial_repr if kind == "lift" else fields
    # solving for a basis that is not in its cache yet, escnn prints on standard output
    with redirect_stdout(io.StringIO()):
        convolution = _escnn.nn.R2Conv(
            _escnn.nn.FieldType(G.gspace, [source]),
            _escnn.nn.FieldType(G.gspace, [fields]),
            kernel,
            bias=False,
            initialize=False,
        )
    sampled = _sampled_basis(convolution)
    if G.is_continuous:
        return _mixed(G, sampled, kind, kernel)
    index = _row_entries(G, kind, kernel)
    # sampled: (dimension, outputs, inputs, places) -> (dimension, outputs, places * inputs)
    by_place = sampled.transpose(2, 3).flatten(2)
    row_of, entries = index[:, 0] // index.shape[1], index % index.shape[1]
    turned_back = torch.stack([by_place[:, o, entries[o].argsort()] for o in range(len(index))], 1)
    rows = [turned_back[:, row_of == row].mean(1) for row in range(int(row_of.max()) + 1)]
    return FilterBasis(torch.cat(rows, 1), index)


def _sampled_basis(convolution: Any) -> Tensor:
    """Escnn's sampled basis in float64, shape (dimension, outputs, inputs, places)."""
    expansion = convolution.basisexpansion
    (pair,) = expansion._representations_pairs
    block = getattr(expansion, f"block_expansion_{expansion._escape_pair(pair)}")
    basis: Tensor = block.sampled_basis.double()
    return basis


def _row_entries(G: Group, kind: Kind, kernel: int) -> Int[Tensor, "outputs entries"]:
    """K[h r, i](x) = K[r, h^-1 i](h^-1 x): the entry (h^-1 x, h^-1 i) of row r, for every output h r."""
    inputs = 1 if kind == "lift" else G.order
    entries = kernel**2 * inputs
    rows: dict[int, Tensor] = {}
    canonical = 0
    for output in range(G.order):
        if output in rows:
            continue
        for h in G.grid_elements:
            back = int(G.inverse[G.index(h)])
            place = _moved_places(G, G.elements[back], kernel)
            source = torch.zeros(1, dtype=torch.int64) if kind == "lift" else G.product[back]
            entry = (place[:, None] * inputs + source[None, :]).flatten()
            rows[int(G.product[G.index(h), output])] = canonical * entries + entry
        canonical += 1
    return torch.stack([rows[output] for output in range(G.order)])


def _moved_places(G: Group, element: Any, kernel: int) -> Int[Tensor, " places"]:
    """Where an element that maps the grid to itself sends each place of a filter, row by row from the top."""
    row, column = torch.meshgrid(*[torch.arange(kernel)] * 2, indexing="ij")
    centred = torch.stack([row, column], -1).flatten(0, 1) * 2 - (kernel - 1)
    down, right = ((G.act_on_vectors(centred, element) + kernel - 1) // 2).unbind(-1)
    return down * kernel + right


def _mixed(G: Group, sampled: Tensor, kind: Kind, kernel: int) -> FilterBasis:
    """The mean over the grid's elements of rho(h)^-1 K(h x) rho(h), every row by itself."""
    fields = field_representation(G)
    turned = torch.zeros_like(sampled)
    for h in G.grid_elements:
        outer = torch.from_numpy(np.asarray(fields(G.continuous(h)))).double()
        inner = torch.ones(1, 1, dtype=torch.float64) if kind == "lift" else outer
        moved = sampled[..., _moved_places(G, h, kernel)]
        # rho is orthogonal: its inverse is its transpose
        turned += torch.einsum("po,dpqx,qi->doix", outer, moved, inner)
    rows = (turned / len(G.grid_elements)).transpose(2, 3).flatten(2)
    _, outputs, entries = rows.shape
    return FilterBasis(rows.flatten(1), torch.arange(outputs * entries).view(outputs, entries))


def flat_index(index: Int[Tensor, "outputs entries"], out_fields: int) -> Int[Tensor, " whole"]:
    """Where each entry of all filters stands among the canonical rows of all fields.

    Args:
        index: see `FilterBasis`.
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
            rows = _times(basis.t(), weight).flatten(0, 1)
            # equal numbers are rounded to equal ones, and there are fewer of them before the gather
            return rows.to(dtype).index_select(0, flat)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Sum what every copy says of each canonical entry, then of each coefficient."""
        basis, inverse = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            rows = _summed(gradient, inverse, ctx.dtype)
            coefficients = _times(basis, rows.unflatten(0, (-1, basis.shape[1])))
            return coefficients.contiguous(), None, None, None, None


def _times(
    matrix: Float[Tensor, "out inner"], stacked: Float[Tensor, "fields inner columns"]
) -> Float[Tensor, "fields out columns"]:
    """The matrix times each of the stack."""
    elsewhere = matrix.is_cuda or torch.compiler.is_compiling()
    if elsewhere or stacked.shape[2] >= 16 or matrix.numel() < 2**12:
        return torch.matmul(matrix, stacked)
    # a product with few columns takes up to four times as long as its share of one with all columns
    side_by_side = matrix @ stacked.transpose(0, 1).flatten(1)
    return side_by_side.unflatten(1, (len(stacked), -1)).transpose(0, 1)


def _summed(gradient: Tensor, inverse: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum over each row of `inverse` of the gradient's rows that it names."""
    if gradient.is_cuda or torch.compiler.is_compiling():
        # fewer and smaller kernels there, and one when compiled
        copies = gradient.index_select(0, inverse.flatten()).unflatten(0, inverse.shape)
        return copies.sum(1, dtype=dtype)
    return F.embedding_bag(inverse, gradient.to(dtype).contiguous(), mode="sum")
