"""Sums over the pixels of an image, exact, and the same for each of its eight turns and mirror images."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8, UInt16

from eqssl.data.images.pixels import Pixels

Stored = UInt8[np.ndarray, "s s c"] | UInt16[np.ndarray, "s s c"]
_BLOCK = 2**14  # values at a time; sums of so many squares of 16-bit numbers are exact in float64
_BYTES = 16


class Moments(NamedTuple):
    """Sums over all pixels of a square image.

    Attributes:
        sums, squares: of the values and of their squares, one number per channel.
        summary: 16 bytes, equal for images that are identical, as they are or turned or mirrored. Different
            images may have the same summary; `same_turned` gives a name that is safe.
    """

    sums: tuple[int, ...]
    squares: tuple[int, ...]
    summary: bytes


def moments(image: Stored) -> Moments:
    """The sums of an image."""
    size, _, channels = image.shape
    flat, pick = image.reshape(size, size * channels), _channels(size, channels)
    columns, squares = np.zeros((2, size * channels))
    rows = np.empty((size, channels))
    step = max(1, _BLOCK // (size * channels))
    for start in range(0, size, step):
        values = flat[start : start + step].astype(np.float64)
        ones = np.ones(len(values))
        columns += ones @ values
        rows[start : start + step] = values @ pick
        squares += ones @ (values * values)
    sums = columns.reshape(size, channels).astype(np.int64)
    of_squares = squares.reshape(size, channels).astype(np.int64).sum(0)
    # a turn or a mirror image reorders rows and columns, or exchanges them; where 64 bits are too few, the
    # lowest ones are kept
    ordered = (rows.astype(np.int64) ** 2).sum(0) + (sums**2).sum(0)
    text = b"".join((str(image.shape).encode(), sums.sum(0).tobytes(), of_squares.tobytes(), ordered.tobytes()))
    summary = hashlib.blake2b(text, digest_size=_BYTES).digest()
    return Moments(tuple(sums.sum(0).tolist()), tuple(of_squares.tolist()), summary)


def same_turned(image: Pixels) -> bytes:
    """A hash of the pixels that is the same for the eight turns and mirror images of a square image alone.

    It is the smallest of the hashes of those whose sums over rows and columns come first, which is one of
    them in nearly all images.
    """
    if image.dtype == np.float32:  # sums of floats depend on their order
        image = np.ascontiguousarray(image).view(np.uint32)
    rows, columns = image.sum(1, dtype=np.int64), image.sum(0, dtype=np.int64)
    found = []
    for turned, across, down in ((image, rows, columns), (image.transpose(1, 0, 2), columns, rows)):
        for i in (1, -1):
            for j in (1, -1):
                found.append((across[::i].tobytes() + down[::j].tobytes(), turned[::i, ::j]))
    first = min(profile for profile, _ in found)
    head = f"{image.shape} {image.dtype}".encode()
    return min(
        hashlib.blake2b(head + turned.tobytes(), digest_size=_BYTES).digest()
        for profile, turned in found
        if profile == first
    )


@lru_cache(maxsize=2)
def _channels(size: int, channels: int) -> Float64[np.ndarray, "sc c"]:
    """A matrix that sums the pixels of a row for each channel."""
    return np.tile(np.eye(channels), (size, 1))
