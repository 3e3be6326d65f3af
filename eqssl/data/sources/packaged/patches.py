"""Cut one large image into patches, with regions for training, validation and test that share no pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eqssl.config.sources import SplitName

GAP = 8
"""Pixels between two regions that no patch touches: neighbours on both sides of a border look alike."""
SHARE = 0.15
"""Share of the columns of patches that validation gets, and test too; at least one each."""


@dataclass(frozen=True)
class Region:
    """A band of columns of an image, from `left` to just before `right`, over its whole height."""

    split: SplitName
    left: int
    right: int


def regions(width: int, patch: int, gap: int = GAP) -> tuple[Region, Region, Region]:
    """Divide an image into three bands from left to right: training, validation and test.

    Args:
        width: of the image in pixels.
        patch: side of a patch; the width of each band is a multiple of it.
        gap: pixels between two bands.

    Raises:
        ValueError: three patches and two gaps are wider than the image.
    """
    columns = (width - 2 * gap) // patch
    if columns < 3:
        raise ValueError(
            f"patch: given {patch}, allowed: at most {(width - 2 * gap) // 3}, so that an image of {width} "
            "pixels gives patches for training, validation and test"
        )
    held = max(1, round(SHARE * columns))
    train = (columns - 2 * held) * patch
    val, test = train + gap, train + held * patch + 2 * gap
    return (
        Region("train", 0, train),
        Region("val", val, val + held * patch),
        Region("test", test, test + held * patch),
    )


def corners(region: Region, height: int, patch: int) -> Iterator[tuple[int, int]]:
    """Row and column of the upper left pixel of each patch of a region; patches do not overlap."""
    for top in range(0, height - patch + 1, patch):
        for left in range(region.left, region.right - patch + 1, patch):
            yield top, left


def count(height: int, width: int, patch: int) -> int:
    """Number of patches of an image, in all regions."""
    return sum(1 for region in regions(width, patch) for _ in corners(region, height, patch))
