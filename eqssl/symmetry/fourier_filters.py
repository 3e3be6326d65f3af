"""Equivariant filters between the Fourier coefficients of SO2 and O2, the same on every machine.

A field is a sum of irreducible representations, and so a filter has one block for each pair of them:

    K(g x) = rho(g) K(x) sigma(g)^-1     from sigma to rho.

The blocks of a pair are the means over the group of g -> rho(g)^-1 E f(g x) sigma(g), for all matrices E
and band-limited functions f (`eqssl.symmetry.scalar_filters`). Every block has its own canonical basis, with
the matrices that have a single 1, times rings and frequencies, as its axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from eqssl.symmetry.canonical import canonical_basis, in_float32, rounded
from eqssl.symmetry.fourier import field_representation
from eqssl.symmetry.groups import MAXIMUM_FREQUENCY, Group
from eqssl.symmetry.scalar_filters import grid_points, rings_and_frequencies, scalar_filters

Array = np.ndarray[Any, Any]
Name = tuple[int, ...]
"""Escnn's name of an irreducible representation."""


def fourier_filters(G: Group, lift: bool, kernel: int) -> Float[Array, "dimension outputs entries"]:
    """The canonical basis of the filters to fields of a continuous group, in float64.

    Args:
        G: SO2 or O2.
        lift: whether the input is an image and not fields.
        kernel: side of the filter, odd.

    Returns:
        Filters that are orthogonal up to the rounding of float32; the mean over the outputs of the sum of
        squares is 1. The entries of an output are its places * inputs, place-major. Blocks are ordered by the
        irreducible representation of the output, then by that of the input.
    """
    blocks = _Blocks(G, kernel)
    target = field_representation(G)
    source = G.gspace.trivial_repr if lift else target
    filters = []
    for outgoing, outputs in _places_of_irreps(G, target):
        for incoming, inputs in _places_of_irreps(G, source):
            block = blocks.basis(outgoing, incoming)
            whole = np.zeros((len(block), target.size, kernel**2, source.size))
            whole[:, outputs, :, inputs] = block
            filters.append(whole)
    whole = np.concatenate(filters).reshape(-1, target.size, kernel**2 * source.size)
    return in_float32(whole * np.sqrt(target.size))


def _places_of_irreps(G: Group, representation: Any) -> Iterator[tuple[Name, slice]]:
    """The irreducible representations in a direct sum, each with the positions of its coefficients."""
    start = 0
    for name in representation.irreps:
        stop = start + G.gspace.fibergroup.irrep(*name).size
        yield name, slice(start, stop)
        start = stop


class _Blocks:
    """The canonical basis of each pair of irreducible representations, found once."""

    def __init__(self, G: Group, kernel: int) -> None:
        self.plain = scalar_filters(kernel, grid_points(kernel))
        # enough angles for an exact mean over the group: the product's frequencies are below their number
        highest = max(frequency for _, _, frequency in rings_and_frequencies(kernel))
        self.elements = G.continuous_grid(2 * MAXIMUM_FREQUENCY + highest + 1)
        self.irrep = G.gspace.fibergroup.irrep
        moves = [np.asarray(G.gspace.basespace_action(g)) for g in self.elements]
        self.functions = np.stack([scalar_filters(kernel, grid_points(kernel) @ move.T) for move in moves])
        self.found: dict[tuple[Name, Name], Array] = {}

    def basis(self, outgoing: Name, incoming: Name) -> Float[Array, "dimension out_size places in_size"]:
        """The basis of the blocks from one representation to another."""
        if (outgoing, incoming) not in self.found:
            rho, sigma = [
                np.stack([np.asarray(self.irrep(*name)(g)) for g in self.elements])
                for name in (outgoing, incoming)
            ]
            # rho is orthogonal: its inverse is its transpose; E runs over the matrices with a single 1
            spanning = np.einsum("gpo,gfx,gqi->pqfoxi", rho, self.functions, sigma, optimize=True)
            shape = spanning.shape[3:]
            rows = spanning.reshape(-1, np.prod(shape)) / len(self.elements)
            units = np.eye(shape[0]), self.plain, np.eye(shape[2])
            axes = np.einsum("po,fx,qi->fpqoxi", *units).reshape(-1, rows.shape[1])
            self.found[outgoing, incoming] = rounded(canonical_basis(rows, axes)).reshape(-1, *shape)
        return self.found[outgoing, incoming]
