"""Sizes of the images at the source, and what a square of one size makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from eqssl.config.plain import counted

MOST_SIZES = 100
"""Most sizes that index.json lists, the frequent ones first."""
OTHER = "other"


class Sizes:
    """Counts sizes, and what is cut off or enlarged.

    Args:
        size: side of the stored square; None keeps that of the largest square in the image.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._counts: Counter[tuple[int, int]] = Counter()
        self._cut, self._enlarged = 0, 0
        self._most_cut, self._smallest = (0.0, ""), (1 << 31, "")

    def add(self, height: int, width: int, name: str) -> None:
        """Count an image.

        Args:
            height: in pixels, at the source.
            width: the same.
            name: what a person calls it.
        """
        self._counts[width, height] += 1
        side = min(height, width)
        if height != width:
            self._cut += 1
            lost = 1 - side / max(height, width)
            if lost > self._most_cut[0]:
                self._most_cut = lost, name
        if self._size is not None and side < self._size:
            self._enlarged += 1
            if side < self._smallest[0]:
                self._smallest = side, name

    def listed(self) -> Mapping[str, int]:
        """`WIDTHxHEIGHT` -> number of images."""
        common = self._counts.most_common(MOST_SIZES)
        found = {f"{width}x{height}": count for (width, height), count in common}
        rest = self._counts.total() - sum(found.values())
        return {**found, OTHER: rest} if rest else found

    def notes(self) -> list[str]:
        """A sentence if pixels are cut off, and one if images are enlarged."""
        found, images = [], counted(self._counts.total(), "image")
        if self._cut:
            lost, name = self._most_cut
            found.append(
                f"not square: {self._cut:,} of {images}; the largest centred square is "
                f"kept; {name} loses most, {lost:.0%} of its pixels"
            )
        if self._enlarged:
            side, name = self._smallest
            found.append(
                f"enlarged to `size` ({self._size}): {self._enlarged:,} of {images};"
                f" {name} is the smallest, with {side} pixels"
            )
        return found
