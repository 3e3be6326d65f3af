"""Band-limited functions on SO2 and O2: fields of Fourier coefficients, and their values at sampled elements.

A field of a continuous group is a function f on the group with frequencies up to `MAXIMUM_FREQUENCY`, held
by its coefficients x in an orthonormal basis of matrix coefficients of the irreducible representations,

    f(g) = <rho(g) k, x>,        mean over the group of f^2 = |x|^2,

so that rho(h) x belongs to the turned function g -> f(h^-1 g), as for a regular field. The constant
function comes first (Cesa, Lang & Weiler 2022, A Program to Build E(N)-Equivariant Steerable CNNs, section
4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.symmetry.groups import MAXIMUM_FREQUENCY, Group

ROTATIONS = 16
"""Number of angles at which the activation is evaluated; for O2, each with and without a reflection."""


def field_representation(G: Group) -> Any:
    """Escnn's representation of one field: regular, or band-limited regular for a continuous group."""
    if G.is_continuous:
        return G.gspace.fibergroup.bl_regular_representation(MAXIMUM_FREQUENCY)
    return G.gspace.regular_repr


def field_size(G: Group) -> int:
    """Channels of one field: the order of a finite group; 7 coefficients for SO2, 14 for O2."""
    return int(field_representation(G).size)


def sampling_matrix(G: Group, rotations: int | None = None) -> Float[Tensor, "samples size"]:
    """The values of a field of a continuous group at some elements, as a matrix on its coefficients; float64.

    Its columns are orthogonal with squared length `samples`, so that its transpose divided by `samples` takes
    the values of a band-limited function back to the coefficients.

    Args:
        G: a continuous group.
        rotations: number of equally spaced angles (for O2, each with and without a reflection); None for the
            elements that `G` lists, in their order.

    Raises:
        ValueError: if the angles are too few to determine a function.
    """
    if rotations is not None and rotations <= 2 * MAXIMUM_FREQUENCY:
        raise ValueError(f"rotations: given {rotations}, allowed: more than {2 * MAXIMUM_FREQUENCY}")
    listed = [G.continuous(g) for g in G.elements]
    elements = listed if rotations is None else G.continuous_grid(rotations)
    representation = field_representation(G)
    kernel = _kernel(G, representation)
    values = np.stack([np.asarray(representation(g)) @ kernel for g in elements])
    return torch.from_numpy(values)


def _kernel(G: Group, representation: Any) -> np.ndarray[Any, Any]:
    """The k of f(g) = <rho(g) k, x>: for each copy of an irrep another column of the identity."""
    parts: list[np.ndarray[Any, Any]] = []
    copies: dict[Any, int] = {}
    for name in representation.irreps:
        size = G.gspace.fibergroup.irrep(*name).size
        copy = copies[name] = copies.get(name, -1) + 1
        parts.append(np.eye(size)[copy] * math.sqrt(size))
    return np.concatenate(parts)
