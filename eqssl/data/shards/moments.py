"""Sums over the pixels of an image, exact, and the same for each of its eight turns and mirror images."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16

from eqssl.data.images.pixels import Pixels

Stored = UInt8[np.ndarray, "s s c"] | UInt16[np.ndarray, "s s c"]
# sums of so many products of 16-bit numbers are exact in float64
_BLOCK = 2**20
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
    flat, rings = image.reshape(-1, channels), _rings(size)
    sums = np.zeros((2, channels), np.int64)
    products = np.zeros((channels, channels), np.int64)
    for start in range(0, len(flat), _BLOCK):
        values = flat[start : start + _BLOCK].astype(np.float64)
        weights = np.ones((2, len(values)))
        weights[1] = rings[start : start + _BLOCK]
        sums += (weights @ values).astype(np.int64)
        products += (values.T @ values).astype(np.int64)
    text = b"".join((str(image.shape).encode(), sums.tobytes(), products.tobytes()))
    summary = hashlib.blake2b(text, digest_size=_BYTES).digest()
    return Moments(tuple(sums[0].tolist()), tuple(products.diagonal().tolist()), summary)


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
def _rings(size: int) -> UInt8[np.ndarray, " n"]:
    """A weight for each pixel that depends on its distance from the centre alone."""
    distance = (2 * np.arange(size, dtype=np.int32) - (size - 1)) ** 2
    return (np.add.outer(distance, distance) % 251).astype(np.uint8).reshape(-1)
