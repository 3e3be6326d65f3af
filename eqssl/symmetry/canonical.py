"""The canonical basis of a linear span: the same rows for every basis that describes the span.

Linear algebra libraries are free to choose a basis of a space, and their choice differs between processors.
Here the basis depends only on the span and on a list of vectors, the axes. It is what Gram-Schmidt makes of
the projections of the axes onto the span, in their order.

The axes matter for training, because Adam takes its steps along them. Rings from the centre outwards, each
with its frequencies from the lowest up, train better than axes along single pixels (docs/results.md, "How to
halve a map").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

Array = np.ndarray[Any, Any]
Rows = Float[np.ndarray[Any, Any], "rows entries"]

# numbers that are equal in exact arithmetic differ by about 1e-15 here, others by far more
NOISE, CLEAR = 1e-11, 1e-7
STEP = 2.0**-24


def canonical_basis(rows: Rows, axes: Rows) -> Rows:
    """The canonical orthonormal basis of a span, in float64.

    Row k is, up to a positive factor, the projection of an axis minus its part in the span of the rows
    before it. Axes that add nothing to the rows before them are left out.

    Args:
        rows: float64 vectors of about unit length that span the space; they may depend on each other.
        axes: vectors whose projections span the space; their order and directions decide the basis, their
            lengths do not.

    Returns:
        Orthonormal rows, as many as the space has dimensions. They depend on the span and the axes alone, up
        to the rounding of float64, which `rounded` removes.

    Raises:
        ValueError: if rounding decides what the dimension is or whether an axis adds something, or if the
            axes do not reach the whole space.
    """
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    unclear = lengths[(lengths > NOISE) & (lengths < CLEAR)]
    if len(unclear):
        raise ValueError(
            f"canonical_basis: the dimension is not clear, given singular values {unclear}, "
            f"allowed: below {NOISE} or above {CLEAR}"
        )
    coordinates = directions[lengths > NOISE]
    basis = np.empty((len(coordinates),) * 2)
    found = 0
    for axis in (axes / np.linalg.norm(axes, axis=1, keepdims=True)) @ coordinates.T:
        if found == len(basis):
            break
        # twice, because rounding leaves a small part along the earlier rows
        rest = axis - basis[:found].T @ (basis[:found] @ axis)
        rest = rest - basis[:found].T @ (basis[:found] @ rest)
        length = np.linalg.norm(rest)
        if NOISE < length < CLEAR:
            raise ValueError(
                f"canonical_basis: whether an axis adds something is not clear, given a rest of {length}, "
                f"allowed: below {NOISE} or above {CLEAR}"
            )
        if length >= CLEAR:
            basis[found] = rest / length
            found += 1
    if found < len(basis):
        raise ValueError(f"canonical_basis: the axes reach {found} of {len(basis)} dimensions")
    return basis @ coordinates


def rounded(rows: Rows) -> Rows:
    """Numbers of at most 1, rounded to multiples of 2^-24, which float32 holds exactly.

    Numbers that differ only by the rounding of float64 become equal, except close to the middle between two
    multiples.
    """
    # adding zero turns -0 into 0
    return np.rint(rows / STEP) * STEP + 0.0


def in_float32(rows: Array) -> Array:
    """The same numbers, each rounded to one that float32 holds; layers keep their bases in float32."""
    return rows.astype(np.float32).astype(np.float64)
