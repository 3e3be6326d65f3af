"""The canonical basis of a linear span: the same rows whatever basis the span is given by.

Linear algebra libraries choose a basis of a space as they like, and one processor's choice is not another's.
Here the span alone decides. With P the orthogonal projection onto it, the basis is what Gram-Schmidt makes
of the columns of P, in the order in which a pivoted QR factorisation takes them (Businger & Golub 1965,
Linear least squares solutions by Householder transformations): each time the column of which most is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

Rows = Float[np.ndarray[Any, Any], "rows entries"]

# numbers that are equal in exact arithmetic differ by about 1e-15 here, others by far more
NOISE, CLEAR = 1e-11, 1e-7
STEP = 2.0**-24


def canonical_basis(rows: Rows) -> Rows:
    """The canonical orthonormal basis of a span, in float64.

    Row k is, up to a positive factor, the column p_k of the projection P minus its part in the span of the
    rows before it. p_k is the column whose rest is longest, the first of those that are equally long.

    Args:
        rows: float64 vectors of about unit length that span the space; they may depend on each other.

    Returns:
        Orthonormal rows, as many as the space has dimensions. They depend on the span alone, up to the
        rounding of float64: `rounded` takes that away.

    Raises:
        ValueError: if rounding decides what the dimension is, or which column is the longest.
    """
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    unclear = lengths[(lengths > NOISE) & (lengths < CLEAR)]
    if len(unclear):
        raise ValueError(
            f"canonical_basis: the dimension is not clear, given singular values {unclear}, "
            f"allowed: below {NOISE} or above {CLEAR}"
        )
    coordinates = directions[lengths > NOISE]
    # in these coordinates column e of P is column e of the matrix, so that P is never formed
    rest = coordinates.copy()
    basis = np.empty((len(coordinates),) * 2)
    for k in range(len(basis)):
        pivot = rest[:, _first_longest(np.square(rest).sum(0))]
        # a second time, as rounding leaves a little of the rows before it
        pivot = pivot - basis[:k].T @ (basis[:k] @ pivot)
        basis[k] = pivot / np.linalg.norm(pivot)
        rest -= np.outer(basis[k], basis[k] @ rest)
    return basis @ coordinates


def _first_longest(squares: Float[np.ndarray[Any, Any], " entries"]) -> int:
    """The first of the greatest numbers, where those that differ by rounding count as equal."""
    behind = 1 - squares / squares.max()
    unclear = behind[(behind > NOISE) & (behind < CLEAR)]
    if len(unclear):
        raise ValueError(
            f"canonical_basis: the longest column is not clear, given relative distances {unclear}, "
            f"allowed: below {NOISE} or above {CLEAR}"
        )
    return int(np.argmax(behind <= NOISE))


def rounded(rows: Rows) -> Rows:
    """Numbers of at most 1, rounded to multiples of 2^-24, which float32 holds exactly.

    Numbers that differ by the rounding of float64 become equal, unless a number lies within it of the middle
    between two multiples.
    """
    # adding zero makes -0 a 0
    return np.rint(rows / STEP) * STEP + 0.0
