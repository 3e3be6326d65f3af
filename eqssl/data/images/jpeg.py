"""JPEG: what the header says, and decoding by libjpeg-turbo, in which a truncated file is an error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from eqssl.data.images.tiff_tags import orientation_of

START = b"\xff\xd8\xff"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_DECODED = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, with Huffman codes
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_EXIF = b"Exif\x00\x00"


class JpegHeader(NamedTuple):
    """What the header of a JPEG says.

    Attributes:
        width, height: in pixels, before it is turned upright.
        bits: per channel.
        channels: 1 for gray, 3 for RGB in whatever space it is kept, 4 for CMYK.
        plain: whether the usual decoders can read this kind of JPEG.
        orientation: how to turn it; 1 if it is upright.
        described: whether there is XMP metadata that may state an orientation too.
        several: whether the file says that more images follow.
    """

    width: int
    height: int
    bits: int
    channels: int
    plain: bool
    orientation: int
    described: bool
    several: bool


def jpeg_header(content: bytes) -> JpegHeader:
    """Read the segments before the first scan.

    Raises:
        ValueError: they are damaged, or there is no frame.
    """
    frame, orientation, described, several, at = None, 1, False, False, 2
    while True:
        marker, at = _marker(content, at)
        if marker in _BARE:
            continue
        size = int.from_bytes(content[at : at + 2], "big")
        body = content[at + 2 : at + size]
        if size < 2 or len(body) < size - 2 or marker == 0xD9:
            raise ValueError("the header of the JPEG is truncated")
        at += size
        if marker in _FRAMES and frame is None and len(body) >= 6:
            frame = (marker, body)
        elif marker == 0xE1 and body.startswith(_EXIF):
            orientation = orientation_of(body[len(_EXIF) :])
        elif marker == 0xE1:
            described |= b"tiff:Orientation" in body
        elif marker == 0xE2:
            several |= body.startswith(b"MPF\x00")
        elif marker == 0xDA:
            break
    if frame is None:
        raise ValueError("the JPEG has no frame before its first scan")
    kind, body = frame
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    return JpegHeader(width, height, body[0], body[5], kind in _DECODED, orientation, described, several)


def jpeg_pixels(content: bytes, channels: int) -> UInt8[np.ndarray, "h w c"] | None:
    """The pixels of a gray or RGB JPEG of 8 bits whose size was checked, not turned upright.

    None if the only fault is that bytes without a meaning stand before the end marker, which some cameras and
    programs leave; the pixels are whole then, and Pillow gives them.

    Raises:
        ValueError: the file is truncated or damaged.
    """
    import simplejpeg

    try:
        pixels = simplejpeg.decode_jpeg(content, "GRAY" if channels == 1 else "RGB", strict=True)
    except ValueError as error:
        if "extraneous bytes before marker 0xd9" in str(error):
            return None
        raise
    return np.asarray(pixels)


def _marker(content: bytes, at: int) -> tuple[int, int]:
    """The next marker and the position behind it."""
    found = content.find(b"\xff", at)
    while 0 <= found < len(content) - 1 and content[found + 1] in (0xFF, 0x00):
        found = content.find(b"\xff", found + 1)
    if not 0 <= found < len(content) - 1:
        raise ValueError("the header of the JPEG is truncated")
    return content[found + 1], found + 2
