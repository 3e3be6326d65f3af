"""Functions on SO2 and O2 between the elements at which their fields are sampled."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.symmetry.constants import constant
from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.turning import flip_and_degrees


def compared_elements(G: Group, angles: int) -> list[np.ndarray[Any, Any]]:
    """The 2 x 2 matrices of the elements at which two embeddings are compared.

    Those of `G.elements`; for SO2 and O2 those of `angles` equally spaced turns (of O2 each with and without
    a reflection first), of which the listed elements are some.

    Raises:
        ValueError: if the angles of a continuous group do not include the listed ones.
    """
    if not G.is_continuous:
        return [G.matrix(g) for g in G.elements]
    rotations = sum(not flip_and_degrees(G.matrix(g))[0] for g in G.elements)
    if angles < rotations or angles % rotations:
        raise ValueError(f"angles: given {angles}, allowed: a multiple of {rotations}")
    flips = (False, True) if len(G.elements) > rotations else (False,)
    return [_matrix(flip, 2 * math.pi * i / angles) for flip in flips for i in range(angles)]


@constant
def interpolation(name: str, angles: int) -> Float[Tensor, "elements order"]:
    """Values at the compared elements of the function that has given values at the listed ones; float64.

    The identity for finite groups. For SO2 and O2 the function is the trigonometric polynomial through the
    values (on either coset of O2).
    """
    G = group(name)
    if not G.is_continuous:
        return torch.eye(G.order, dtype=torch.float64)
    return torch.tensor(np.stack([_weights(G, matrix) for matrix in compared_elements(G, angles)]))


@constant
def turning_matrices(name: str, angles: int) -> Float[Tensor, "elements order order"]:
    """The matrices rho(g) of the compared elements on the values at the listed ones; float64."""
    G = group(name)
    listed = [G.matrix(h) for h in G.elements]
    if not G.is_continuous:
        identity = torch.eye(G.order, dtype=torch.float64)
        turned = [identity[[G.index(~g @ h) for h in G.elements]] for g in G.elements]
        return torch.stack(turned)
    rows = [[_weights(G, g.T @ h) for h in listed] for g in compared_elements(G, angles)]
    return torch.tensor(np.array(rows))


@cache
def _listed(name: str) -> list[tuple[bool, float]]:
    """Reflections and degrees of the listed elements."""
    G = group(name)
    return [flip_and_degrees(G.matrix(g)) for g in G.elements]


def _matrix(flip: bool, radians: float) -> np.ndarray[Any, Any]:
    cosine, sine = math.cos(radians), math.sin(radians)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return rotation @ np.diag([-1.0, 1.0]) if flip else rotation


def _weights(G: Group, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How the value at an element is made of the values at the listed ones, N equally spaced angles.

    The weight of an angle at distance d is (1 + 2 sum over k < N/2 of cos k d + cos (N/2) d) / N: one at its
    own place and zero at all others.
    """
    flip, degrees = flip_and_degrees(matrix)
    places = _listed(G.name)
    count = sum(other == flip for other, _ in places)
    weights = []
    for other, place in places:
        distance = math.radians(degrees - place)
        total = (
            1
            + 2 * sum(math.cos(k * distance) for k in range(1, count // 2))
            + math.cos(count // 2 * distance)
        )
        weights.append(total / count if other == flip else 0.0)
    return np.array(weights)
