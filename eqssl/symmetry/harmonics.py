"""The Fourier transform of finite groups, in real numbers: functions on G in the basis of its irreps.

A real function z on G has the coefficients (Peter-Weyl; Serre 1977, Linear Representations of Finite Groups,
2.4)

    z^[j, m] = sqrt(d / |G|) sum over h of z[h] psi(h)[j, m],

for each irreducible representation psi of dimension d, which is escnn's and orthogonal. For an irrep of real
type m runs over all d columns. The pairs of complex-conjugate irreps of C_N are rotation matrices of
dimension 2, whose second column holds nothing new: m is 0. The basis is orthonormal, and the regular
representation moves j:

    (rho(g) z)^[j, m] = sum over l of psi(g)[j, l] z^[l, m].

So the correlation c(g) = <a, rho(g) b> needs one small product for each irrep,

    c(g) = sum over psi, j, l of psi(g)[j, l] M[j, l],   M[j, l] = sum over m of a^[j, m] b^[l, m],

and only two numbers for a rotation matrix, M[0, 0] + M[1, 1] and M[1, 0] - M[0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.symmetry.constants import constant
from eqssl.symmetry.groups import Group, group


@dataclass(frozen=True)
class Block:
    """Coefficients that are multiplied together.

    Attributes:
        kind: `lines` for all irreps of dimension 1, `real` for one irrep of real type, `rotation` for one
            that is a rotation matrix.
        start: position of its first coefficient.
        size: dimension of the irrep; for `lines` how many there are.
        copies: how many m there are for each j.
    """

    kind: Literal["lines", "real", "rotation"]
    start: int
    size: int
    copies: int

    @property
    def stop(self) -> int:
        """Position after its last coefficient."""
        return self.start + self.size * self.copies


@dataclass(frozen=True)
class Harmonics:
    """The Fourier transform of a finite group, or of the listed elements of SO2 and O2.

    Attributes:
        basis: orthogonal matrix from values at `G.elements` (rows) to coefficients (columns), float64.
        blocks: how the coefficients are multiplied; in a block j comes before m.
        synthesis: from the products of all blocks (columns) to the correlation at `G.elements` (rows),
            float64. The products of a `real` block are M[j, l] with l before j, those of a `rotation` block
            are the two numbers above.
    """

    basis: Float[Tensor, "order order"]
    blocks: tuple[Block, ...]
    synthesis: Float[Tensor, "order order"]


@constant
def harmonics(name: str) -> Harmonics:
    """The Fourier transform of a group.

    Example:
        >>> found = harmonics("D4")
        >>> [(block.kind, block.size, block.copies) for block in found.blocks]
        [('lines', 4, 1), ('real', 2, 2)]
    """
    G = group(name)
    values = [_matrices(G, irrep) for irrep in _fibre_group(G).irreps()]
    lines = [v for v in values if v.shape[1] == 1]
    others = [v for v in values if v.shape[1] > 1]
    blocks = [Block("lines", 0, len(lines), 1)]
    columns = [v[:, 0, 0] / math.sqrt(G.order) for v in lines]
    synthesis = [v[:, 0, 0] for v in lines]
    for v in others:
        size = v.shape[1]
        rotation = bool(np.allclose(v[:, 0, 0], v[:, 1, 1]) and np.allclose(v[:, 0, 1], -v[:, 1, 0]))
        copies = 1 if rotation else size
        blocks.append(Block("rotation" if rotation else "real", len(columns), size, copies))
        norm = math.sqrt(size / G.order)
        columns += [norm * v[:, j, m] for j in range(size) for m in range(copies)]
        synthesis += [v[:, j, k] for k in range(copies) for j in range(size)]
    return Harmonics(_stacked(columns), tuple(blocks), _stacked(synthesis))


def _fibre_group(G: Group) -> Any:
    """Escnn's group of the listed elements."""
    return G.elements[0].group


def _matrices(G: Group, irrep: Any) -> np.ndarray[Any, Any]:
    """The matrices of an irrep at all elements, shape (order, d, d)."""
    return np.stack([np.asarray(irrep(g), np.float64) for g in G.elements])


def _stacked(columns: list[np.ndarray[Any, Any]]) -> Float[Tensor, "order order"]:
    return torch.from_numpy(np.stack(columns, 1))
