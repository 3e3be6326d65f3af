"""Decoding image files fast, with the pixels that `decode_image` gives.

simplejpeg decodes a JPEG in half the time that Pillow takes. Both use libjpeg-turbo, of versions of their
own, and the pixels of a data set must not depend on an optional package. So `decode_image` decides what the
pixels are. The first images of each kind of JPEG (its sampling, its way of coding) are decoded by both, and
simplejpeg is used for the others only if all bits were equal. A JPEG with anything unusual goes to
`decode_image` at once.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from eqssl.data.images import decode_image

_COMPARED = 4
"""Images of a kind that are decoded in both ways."""
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, with Huffman's coding
_PLAIN = {0xDB, 0xC4, 0xDD, 0xFE}  # tables, interval of restarts, comment
_TURNED = (b"\x01\x12\x00\x03", b"\x12\x01\x03\x00", b"Orientation")


class Decoder:
    """Decodes image files. Any number of threads may use one.

    Args:
        shape: channels, height and width of the images.
        dtype: type of their pixels.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._fast = _simplejpeg()
        self._equal: dict[bytes, int] = {}
        self._unequal: set[bytes] = set()
        self._own = threading.local()

    def into(self, content: bytes, place: np.ndarray[Any, Any]) -> None:
        """Decode an image file into an array of shape (c, h, w).

        Raises:
            ValueError: with the reason, also if it has another shape or type; the caller adds file and row.
        """
        image = self._decoded(content)
        if image.dtype != self._dtype:
            raise ValueError(f"pixels of type {image.dtype}, index.json states {self._dtype}")
        image = image.transpose(2, 0, 1)
        if image.shape != self._shape:
            raise ValueError(f"image of shape {image.shape}, index.json states {self._shape}")
        place[...] = image

    def _decoded(self, content: bytes) -> np.ndarray[Any, Any]:
        """The pixels (h, w, c), which may be in an array that this thread uses again for its next image."""
        kind = _kind(content, self._shape) if self._fast and content[:2] == b"\xff\xd8" else None
        if self._fast is None or kind is None or kind in self._unequal:
            return decode_image(content)
        try:
            found = self._fast(content, "GRAY" if self._shape[0] == 1 else "RGB", self._buffer())
        except ValueError:  # such as a warning of libjpeg, which Pillow may ignore
            return decode_image(content)
        compared = self._equal.get(kind, 0)
        if compared < _COMPARED:
            wanted = decode_image(content)
            if wanted.shape != found.shape or not np.array_equal(wanted, found):
                self._unequal.add(kind)
                return wanted
            self._equal[kind] = compared + 1
        return found

    def _buffer(self) -> UInt8[np.ndarray, "h w c"]:
        """Memory for one image; each thread has its own, since asking for new memory takes time."""
        found: UInt8[np.ndarray, "h w c"] | None = getattr(self._own, "buffer", None)
        if found is None:
            channels, height, width = self._shape
            found = self._own.buffer = np.empty((height, width, channels), np.uint8)
        return found


def _simplejpeg() -> Callable[[bytes, str, np.ndarray[Any, Any]], UInt8[np.ndarray, "h w c"]] | None:
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return lambda content, colours, buffer: decode_jpeg(
        content, colours, fastdct=False, fastupsample=False, buffer=buffer
    )


def _kind(content: bytes, shape: tuple[int, int, int]) -> bytes | None:
    """What decides how a JPEG is decoded; None if it has another shape, or anything unusual."""
    place, colours = 2, b""
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4])
        segment = content[place + 4 : place + 2 + length]
        if marker in _FRAMES:
            return _frame(marker, segment, colours, shape)
        if 0xE0 <= marker <= 0xEF:
            if any(sign in segment for sign in _TURNED) or segment[:3] == b"MPF":
                return None
            if segment[:5] == b"Adobe":
                colours = segment
        elif marker not in _PLAIN:
            return None
        place += 2 + length
    return None


def _frame(marker: int, segment: bytes, colours: bytes, shape: tuple[int, int, int]) -> bytes | None:
    if len(segment) < 6:
        return None
    depth, height, width, channels = struct.unpack(">BHHB", segment[:6])
    if depth != 8 or (channels, height, width) != shape or channels not in (1, 3):
        return None
    return bytes([marker]) + segment[6:] + colours
