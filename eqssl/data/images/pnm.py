"""PGM and PPM of more than 8 bits, which Pillow would scale."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import UInt16

from eqssl.data.images.pixels import check_size

_SPACE = rb"(?:\s|#[^\n]*\n)+"
_NUMBER = rb"(\d{1,9})"
_HEADER = re.compile(rb"P([2356])" + _SPACE + _NUMBER + _SPACE + _NUMBER + _SPACE + _NUMBER + rb"\s")
_LONGEST = 2**16  # bytes of the header with its comments


def deep_pnm(content: bytes) -> UInt16[np.ndarray, "h w c"] | None:
    """The pixels of a gray or RGB file of more than 8 bits; None for any other file.

    Raises:
        ValueError: the file is truncated, is text, or holds several images.
    """
    found = _HEADER.match(content[:_LONGEST])
    if not found:
        return None
    kind, width, height, largest = map(int, found.groups())
    channels, depth = (3 if kind in (3, 6) else 1), (2 if largest > 255 else 1)
    if kind in (2, 3) and depth == 1:
        return None
    if kind in (2, 3) or largest > 65535:
        raise ValueError("is a text PNM with more than 8 bits per channel; save it as PNG, TIFF or npy")
    check_size(width, height, channels, depth)
    size = width * height * channels * depth
    raster = content[found.end() : found.end() + size]
    if len(raster) < size:
        raise ValueError(f"the PNM is truncated: {len(raster)} bytes of pixels, its header states {size}")
    if re.match(rb"\s*P[1-7]\s", content[found.end() + size : found.end() + size + 100]):
        raise ValueError("holds several images; save each as a file of its own")
    if depth == 1:
        return None
    return np.frombuffer(raster, ">u2").astype(np.uint16).reshape(height, width, channels)
