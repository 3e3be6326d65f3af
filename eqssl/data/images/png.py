"""PNG: what the header says, files of 16 bits, and whether all rows are there."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt16
from PIL import Image

from eqssl.data.images.ordinary import orientation_in
from eqssl.data.images.pixels import Decoded, split_alpha
from eqssl.data.images.upright import turned_upright
from eqssl.machine.packages import import_failure

START = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
_METADATA = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}  # where an orientation may be
_STEP = 2**20  # bytes expanded at a time
# of an interlaced image: first column and row of each pass, and the steps between them
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class PngHeader(NamedTuple):
    """What the chunks before the pixels say.

    Attributes:
        width, height: in pixels.
        bits: per sample, 1 to 16. Pillow keeps only the upper 8 of 16 in all but gray images.
        colour: 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha.
        interlaced: whether the rows come in seven passes.
        frames: number of images in the file.
        transparent: the samples of the one transparent colour of gray or RGB, as they are in the file.
    """

    width: int
    height: int
    bits: int
    colour: int
    interlaced: bool
    frames: int
    transparent: tuple[int, ...] | None


def png_header(content: bytes) -> PngHeader:
    """Read the chunks before the pixels.

    Raises:
        ValueError: they are damaged.
    """
    header, frames, in_animation, transparent = b"", 0, False, b""
    for name, body in _chunks(content):
        if name == b"IHDR":
            header = body
        elif name == b"acTL":
            frames = int.from_bytes(body[:4], "big")
        elif name == b"fcTL":
            in_animation = True
        elif name == b"tRNS":
            transparent = body
        elif name == b"IDAT":
            break
    if len(header) != 13 or header[9] not in _SAMPLES or header[8] not in (1, 2, 4, 8, 16):
        raise ValueError("the header of the PNG is damaged")
    colour = header[9]
    key = None
    if colour in (0, 2) and len(transparent) >= 2 * _SAMPLES[colour]:
        key = tuple(np.frombuffer(transparent, ">u2", _SAMPLES[colour]).tolist())
    return PngHeader(
        int.from_bytes(header[:4], "big"),
        int.from_bytes(header[4:8], "big"),
        header[8],
        colour,
        header[12] == 1,
        max(1, frames) if in_animation else frames + 1,
        key,
    )


def deep_png(content: bytes, header: PngHeader) -> Decoded:
    """Decode a PNG of 16 bits whose size was checked. Gray needs no other library than Pillow.

    Raises:
        ValueError: the file is damaged, or imagecodecs is not there; says how to install it.
    """
    check_whole(content, header)
    decoded = _deep(content, header)
    if not any(name in _METADATA for name, _ in _chunks(content)):
        return decoded
    return turned_upright(decoded, orientation_in(content, "PNG"))


def _deep(content: bytes, header: PngHeader) -> Decoded:
    """The image as its rows lie in the file."""
    if header.colour == 0:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            gray = np.array(image).astype(np.uint16)[:, :, None]
        if header.transparent is None:
            return Decoded(gray, None)
        seen = np.where(gray == header.transparent[0], 0, 65535).astype(np.uint16)
        return split_alpha(np.concatenate([gray, seen], 2), 1)
    values = _by_imagecodecs(content).reshape(header.height, header.width, -1)
    return split_alpha(values, {2: 1, 4: 3}.get(values.shape[2]))


def _by_imagecodecs(content: bytes) -> UInt16[np.ndarray, "h w *c"]:
    try:
        from imagecodecs import png_decode
    except ImportError as error:
        raise ValueError(
            f"has more than 8 bits per channel and several channels: {import_failure(error)}"
        ) from None
    values = np.asarray(png_decode(content))
    if values.dtype != np.uint16:
        raise ValueError(f"states 16 bits per channel, but imagecodecs gives {values.dtype}")
    return values


def check_whole(content: bytes, header: PngHeader) -> None:
    """Check that there are pixels for all rows. Pillow leaves rows that are missing black, without a word.

    Raises:
        ValueError: some are missing.
    """
    bits = header.bits * _SAMPLES[header.colour]
    passes = _PASSES if header.interlaced else ((0, 0, 1, 1),)
    expected = 0
    for left, top, across, down in passes:
        columns = max(0, -(-(header.width - left) // across))
        rows = max(0, -(-(header.height - top) // down))
        expected += rows * (1 + -(-columns * bits // 8)) if columns else 0
    try:
        found = _expanded(content, expected)
    except zlib.error as error:
        raise ValueError(f"the pixels of the PNG are damaged: {error}") from None
    if found < expected:
        raise ValueError(f"the PNG is truncated: {found} bytes of pixels, its header states {expected}")


def _expanded(content: bytes, enough: int) -> int:
    """Bytes of pixels after they are expanded, counted until there are enough."""
    engine, total = zlib.decompressobj(), 0
    for name, body in _chunks(content):
        while name == b"IDAT" and total < enough:
            part = engine.decompress(body, _STEP)
            total, body = total + len(part), engine.unconsumed_tail
            if not body and len(part) < _STEP:
                break
    return total


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(START)
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        at += 12 + size
