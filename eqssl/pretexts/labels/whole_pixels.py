"""Sizes of a grid of patches in whole pixels of the image."""

from __future__ import annotations

from typing import NamedTuple

from eqssl.config.label_tasks import PatchSettings

LEAST = 2
"""Side in pixels of the smallest patch."""


class WholePixels(NamedTuple):
    """Sizes in pixels of the image.

    Attributes:
        apart: from the centre of a patch to that of its neighbour.
        patch: side of a patch.
        jitter: largest shift of a patch.
    """

    apart: int
    patch: int
    jitter: int


def whole_pixels(settings: PatchSettings, cells: int, side: int) -> WholePixels:
    """The whole numbers of pixels that are nearest to the settings.

    The settings give `cell`, `patch` and `jitter` relative to each other; the cells fill the image without
    its margin. In the image the grid must be symmetric about the centre, which is on a pixel or between two:
    `patch` has the parity of `side - (cells - 1) apart`. Patches do not overlap, whatever their shifts, and
    stay within the margin.

    Args:
        settings: the sizes.
        cells: number of cells along a side.
        side: side of the image in pixels.

    Raises:
        ValueError: the image is too small; names both sizes and the least that works.
    """
    found = _nearest(settings, cells, side)
    if found is None:
        larger = next(s for s in range(side + 1, 100 * cells + side) if _nearest(settings, cells, s))
        raise ValueError(
            f"margin: given {settings.margin:g} with images of {side} pixels, which leaves no room for "
            f"{cells} x {cells} patches of {LEAST} pixels; allowed: images of at least {larger} pixels, or a "
            "smaller margin"
        )
    return found


def _nearest(settings: PatchSettings, cells: int, side: int) -> WholePixels | None:
    inner = side - 2 * int(settings.margin * side)
    pixel = inner / (cells * settings.cell)
    apart = int(inner / cells + 0.5)
    room = min(apart, inner - (cells - 1) * apart)
    fitting = [size for size in range(LEAST, room + 1) if (side - (cells - 1) * apart - size) % 2 == 0]
    if not fitting:
        return None
    # of two that are equally near, the smaller leaves a gap
    patch = min(fitting, key=lambda size: abs(size - settings.patch * pixel))
    jitter = min(int(settings.jitter * pixel + 0.5), (room - patch) // 2)
    return WholePixels(apart, patch, jitter)
