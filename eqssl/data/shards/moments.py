"""Sums over the pixels of an image, exact, and the same for each of its eight turns and mirror images."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8, UInt16, UInt32

from eqssl.data.images.pixels import Pixels

Profile = Float64[np.ndarray, "s c"]
Stored = UInt8[np.ndarray, "s s c"] | UInt16[np.ndarray, "s s c"]
_BLOCK = 2**17  # values at a time
_FLOATS = 2**15
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
    # types in which squares and sums of up to 4,096 of them have room
    wide, whole = (np.uint16, np.uint32) if image.dtype == np.uint8 else (np.uint32, np.uint64)
    flat = image.reshape(size, size * channels)
    columns = flat.sum(0, dtype=whole)
    squares = np.zeros_like(columns)
    step = max(1, _BLOCK // (size * channels))
    for start in range(0, size, step):
        values = flat[start : start + step]
        squares += np.multiply(values, values, dtype=wide).sum(0, dtype=whole)
    sums, of_squares = (
        tuple(part.reshape(size, channels).sum(0, dtype=np.uint64).tolist()) for part in (columns, squares)
    )
    text = f"{image.shape} {sums} {of_squares}"
    return Moments(sums, of_squares, hashlib.blake2b(text.encode(), digest_size=_BYTES).digest())


def same_turned(image: Pixels) -> bytes:
    """A hash of the pixels that is the same for the eight turns and mirror images of a square image alone.

    It is the smallest of the hashes of those whose sums over rows and columns come first, which is one of
    them in nearly all images.
    """
    head = f"{image.shape} {image.dtype}".encode()
    if image.dtype == np.float32:  # sums of floats depend on their order
        image = np.ascontiguousarray(image).view(np.uint32)
    rows, columns = _profiles(image)
    found = []
    for turned, down, across in ((image, rows, columns), (image.transpose(1, 0, 2), columns, rows)):
        for i in (1, -1):
            for j in (1, -1):
                found.append((down[::i].tobytes() + across[::j].tobytes(), turned[::i, ::j]))
    first = min(profile for profile, _ in found)
    return min(
        hashlib.blake2b(head + turned.tobytes(), digest_size=_BYTES).digest()
        for profile, turned in found
        if profile == first
    )


def _profiles(image: Stored | UInt32[np.ndarray, "s s c"]) -> tuple[Profile, Profile]:
    """The sum of each row and of each column, per channel."""
    size, _, channels = image.shape
    flat = image.reshape(size, size * channels)
    # such sums are exact in float64 too, where a product with this matrix is the fastest
    pick = np.tile(np.eye(channels), (size, 1))
    step = max(1, _FLOATS // (size * channels))
    rows = [flat[start : start + step].astype(np.float64) @ pick for start in range(0, size, step)]
    whole = np.uint32 if image.dtype == np.uint8 else np.uint64
    columns = flat.sum(0, dtype=whole).astype(np.float64).reshape(size, channels)
    return np.concatenate(rows), columns
