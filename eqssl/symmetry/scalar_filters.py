"""Filters with one number per place, before any symmetry: escnn's rings and frequencies, in float64.

    f(x) = exp(-(|x| - r)^2 / (2 sigma^2)) cos(m angle(x)),    and the same with sin for m > 0,

for each ring (r, sigma) of a kernel and each frequency m up to the ring's limit. Their span F is the space
of band-limited filters of Weiler & Cesa 2019 (General E(2)-Equivariant Steerable CNNs). A turn or mirroring
of the plane maps it to itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float

from eqssl.symmetry.groups import group

Ring = tuple[float, float, int]


@cache
def rings_and_frequencies(kernel: int) -> tuple[Ring, ...]:
    """The (r, sigma, m) that escnn takes for a kernel; sorted, without repeats."""
    from eqssl.symmetry import _escnn

    gspace = group("trivial").gspace
    image = _escnn.nn.FieldType(gspace, [gspace.trivial_repr])
    expansion = _escnn.nn.R2Conv(image, image, kernel, bias=False, initialize=False).basisexpansion
    attributes = map(expansion.get_element_info, range(expansion.dimension()))
    return tuple(sorted({(a["radius"], a["sigma"], abs(a["irrep:frequency"])) for a in attributes}))


def grid_points(kernel: int) -> Float[np.ndarray[Any, Any], "places 2"]:
    """The places of a filter as points (x to the right, y up), row by row from the top."""
    centred = np.arange(kernel) - (kernel - 1) / 2
    down, right = np.meshgrid(centred, centred, indexing="ij")
    return np.stack([right, -down], -1).reshape(-1, 2)


def scalar_filters(
    kernel: int, points: Float[np.ndarray[Any, Any], "points 2"]
) -> Float[np.ndarray[Any, Any], "filters points"]:
    """The values of all filters of a kernel at some points (x to the right, y up)."""
    position = points[:, 0] + 1j * points[:, 1]
    distance = np.abs(position)
    # the origin has no angle, and only frequency 0 is not zero there
    origin = distance < 1e-9
    direction = np.where(origin, 0, position / np.where(origin, 1, distance))
    values = []
    for radius, sigma, frequency in rings_and_frequencies(kernel):
        wave = np.exp(-0.5 * ((distance - radius) / sigma) ** 2) * direction**frequency
        values += [wave.real] if frequency == 0 else [wave.real, wave.imag]
    return np.stack(values)
