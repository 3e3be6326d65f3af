"""The range of intensities that is stored: measured by percentiles, and applied to images."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int, UInt8, UInt16

from eqssl.data.images.pixels import Pixels

Range: TypeAlias = tuple[float, float]
"""Intensities that become 0 and the largest stored value."""

_INTEGERS = 2**16
_FLOATS = 2**24  # the upper 24 of a float's 32 bits


class Histogram:
    """How often each intensity occurs in images that come one by one, of one type.

    Integers are counted one by one. Floats are counted by the upper 24 of their 32 bits, so that percentiles
    are exact to one part in 32,768. Histograms of parts can be added in any order, which gives the same.
    Only the part of the memory that holds counts is really taken, 128 MiB at most.
    """

    def __init__(self) -> None:
        self.kind: np.dtype[Any] | None = None
        self._counts: Int[np.ndarray, " bins"] = np.zeros(0, np.int64)
        self.least, self.most = np.inf, -np.inf

    def add(self, pixels: Pixels) -> None:
        """Count the pixels of an image, of all channels.

        Raises:
            ValueError: it has another type than those before.
        """
        self._agree(pixels.dtype)
        if pixels.dtype == np.float32:
            places, counts = np.unique(_ordered(pixels.ravel()), return_counts=True)
            self._counts[places] += counts
        else:
            self._counts += np.bincount(pixels.ravel(), minlength=_INTEGERS)
        self.least = min(self.least, float(pixels.min()))
        self.most = max(self.most, float(pixels.max()))

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram.

        Raises:
            ValueError: it is of images of another type.
        """
        if other.kind is not None:
            self._agree(other.kind)
            places = np.flatnonzero(other._counts)
            self._counts[places] += other._counts[places]
            self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    def value(self, percentile: float) -> float:
        """The smallest intensity that at least this share of the pixels do not exceed.

        Raises:
            ValueError: nothing was counted.
        """
        places = np.flatnonzero(self._counts)
        if not len(places):
            raise ValueError("range: there are no training images to measure percentiles of")
        if percentile <= 0:
            return self.least
        if percentile >= 100:
            return self.most
        below = np.cumsum(self._counts[places])
        wanted = ceil(Fraction(str(percentile)) * int(below[-1]) / 100)
        place = int(places[np.searchsorted(below, wanted)])
        return float(place) if self.kind != np.float32 else self._float(place)

    def _float(self, place: int) -> float:
        """The smallest value of a bin, but none that is beyond those that occur."""
        ordered = place << 8
        bits = ordered ^ 0x80000000 if ordered >> 31 else ordered ^ 0xFFFFFFFF
        return float(np.clip(np.array(bits, np.uint32).view(np.float32), self.least, self.most))

    def _agree(self, kind: np.dtype[Any]) -> None:
        if self.kind is None:
            self.kind = kind
            self._counts = np.zeros(_FLOATS if kind == np.float32 else _INTEGERS, np.int64)
        elif self.kind != kind:
            raise ValueError(f"range: images of {kind} and of {self.kind} cannot be measured together")

    def __getstate__(self) -> dict[str, Any]:
        # other processes get only the counts that are there
        places = np.flatnonzero(self._counts)
        return {**self.__dict__, "_counts": (len(self._counts), places, self._counts[places])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        size, places, counts = state["_counts"]
        self.__dict__.update(state, _counts=np.zeros(size, np.int64))
        self._counts[places] = counts


def percentile_range(images: Iterable[Pixels | Histogram], percentiles: tuple[float, float]) -> Range:
    """Two percentiles of the pixels of all images together, in bounded memory.

    Args:
        images: the images one by one, or histograms of parts of them.
        percentiles: the smaller one first, 0 to 100.

    Raises:
        ValueError: there are no images, they are of several types, or both percentiles are the same value.
    """
    whole = Histogram()
    for image in images:
        if isinstance(image, Histogram):
            whole.merge(image)
        else:
            whole.add(image)
    low, high = (whole.value(percentile) for percentile in percentiles)
    if low >= high:
        raise ValueError(
            f"range: percentiles {list(percentiles)} of the training images are both {low:g}; "
            "give numbers as `range: [LOW, HIGH]`, or percentiles further apart"
        )
    return low, high


def rescaled(image: Pixels, scale: Range) -> UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]:
    """Map a range of intensities to 0 and the largest value, linearly; what is beyond is cut off.

    Images of 8 bits stay so, all others become uint16.
    """
    low, high = scale
    kind, top = (np.uint8, 255) if image.dtype == np.uint8 else (np.uint16, 65535)
    values = (image.astype(np.float64) - low) * (top / (high - low))
    return np.rint(np.clip(values, 0, top)).astype(kind)


def _ordered(values: Float32[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The bin of each float: its bits, flipped so that they sort as the values do, less the last eight."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    return (ordered >> 8).astype(np.int64)
