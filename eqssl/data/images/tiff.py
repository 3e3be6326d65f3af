"""TIFF: which page is the image, and decoding of what Pillow cannot read as it is.

Plain pages of 8 bits or fewer are read by Pillow, all others by tifffile. Which of the two reads a file
follows from its tags alone, not from what is installed.
"""

from __future__ import annotations

import io
import logging
import re
from typing import Any

import numpy as np
from jaxtyping import Shaped

from eqssl.data.images.ordinary import ordinary
from eqssl.data.images.pixels import MOST_BYTES, Decoded, check_size, exact, split_alpha
from eqssl.data.images.tiff_tags import ORIENTATION, Tags, TiffPages, number, numbers
from eqssl.data.images.upright import upright
from eqssl.machine.packages import import_failure

STARTS = (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")
_BITS, _COMPRESSION, _PHOTOMETRIC, _TEXT, _SAMPLES = 258, 259, 262, 270, 277
_EXTRA, _FORMAT, _INKS, _DEPTH, _COLOURS = 338, 339, 332, 32997, 320
_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
# kind of pixels -> samples of a page and meanings of the extra ones that Pillow reads as they are
_PLAIN: dict[int, set[tuple[int, tuple[int, ...]]]] = {
    _WHITE_IS_ZERO: {(1, ())},
    _GRAY: {(1, ()), (2, (2,))},
    _RGB: {(3, ()), (4, (1,)), (4, (2,))},
    _PALETTE: {(1, ())},
    _CMYK: {(4, ())},
    _YCBCR: {(3, ())},
    _LAB: {(3, ())},
}
_RAW = "the raw pixels of a camera"
_NAMES = {9: "ICC Lab", 10: "ITU Lab", 32803: _RAW, 34892: _RAW}
# none, LZW, deflate, PackBits, LZMA, Zstandard: how large they may expand is known before
_COMPRESSIONS = {1, 5, 8, 32946, 32773, 34925, 50000}
_ADVICE = "save each as a file of its own, or channels as one page of rows x columns x channels"


def tiff_image(content: bytes) -> Decoded:
    """Decode a TIFF with one image; smaller copies of it beside it are left out.

    Several pages are one image only if ImageJ or OME metadata says that they are its channels.

    Raises:
        ValueError: it is a stack or damaged, or tifffile is needed and not there.
    """
    tiff = TiffPages(content)
    chosen = _chosen(tiff)
    pages = [tiff.pages[i] for i in chosen]
    for page in pages:
        _check_page(page)
    if len(pages) == 1 and _plain(pages[0]):
        return ordinary(content, "TIFF", frame=chosen[0])
    for page in pages:
        _check_deep(page, content)
    parts = [_by_tifffile(content, i, page) for i, page in zip(chosen, pages, strict=True)]
    if len({(part.shape, part.dtype) for part in parts}) > 1:
        raise ValueError(f"has pages of several sizes or depths; {_ADVICE}")
    values = exact(np.concatenate(parts, 2))
    alpha, premultiplied = _alpha(pages[0]) if len(pages) == 1 else (None, False)
    values = np.ascontiguousarray(upright(values, number(pages[0], ORIENTATION, 1)))
    return split_alpha(values, alpha, premultiplied)


def _chosen(tiff: TiffPages) -> list[int]:
    """Numbers of the pages that make up the image."""
    full = [i for i, page in enumerate(tiff.pages) if not _is_smaller_copy(page)]
    parts = sum(not _is_smaller_copy(page) for page in tiff.parts)
    text = tiff.pages[full[0]].get(_TEXT, b"") if full else b""
    words = text if isinstance(text, bytes) else bytes(value & 255 for value in text)
    planes = _planes(words)
    if not full or parts:
        raise ValueError("has no page of the full image, as raw files of cameras; export it first")
    if len(full) > 1 and _channels(words) == len(full) == len(tiff.pages):
        return full
    if len(full) > 1 or planes > 1:
        raise ValueError(f"has {max(len(full), planes)} pages: slices, times or channels; {_ADVICE}")
    return full


def _is_smaller_copy(page: Tags) -> bool:
    return bool(number(page, 254, 0) & 1) or number(page, 255, 1) == 2


def _planes(words: bytes) -> int:
    """Planes that ImageJ states, which writes large stacks as one page, or tifffile."""
    found = re.search(rb"\nimages=(\d{1,9})", words) if words.startswith(b"ImageJ=") else None
    return int(found[1]) if found else 2 if b'"truncated": true' in words else 1


def _channels(words: bytes) -> int:
    """Number of channels that the pages are by their metadata; 0 if it does not say or there is more."""
    if words.startswith(b"ImageJ="):
        stated = dict(re.findall(rb"\n(images|channels|slices|frames)=(\d{1,9})", words))
        others = [int(stated.get(key, b"1")) for key in (b"slices", b"frames")]
        return int(stated.get(b"channels", b"0")) if others == [1, 1] else 0
    if words.count(b"<Pixels ") != 1:
        return 0
    pixels = words.split(b"<Pixels ")[1].split(b">")[0]
    sizes = {key: int(value) for key, value in re.findall(rb'\bSize([CZT])="(\d{1,9})"', pixels)}
    for data in re.findall(rb"<TiffData\b([^>]*)>", words):
        place = dict(re.findall(rb'\b(IFD|FirstC)="(\d{1,9})"', data))
        if place.get(b"IFD", b"0") != place.get(b"FirstC", b"0"):
            return 0
    return sizes.get(b"C", 0) if sizes.get(b"Z") == sizes.get(b"T") == 1 else 0


def _check_page(page: Tags) -> None:
    width, height, samples = number(page, 256, 0), number(page, 257, 0), number(page, _SAMPLES, 1)
    check_size(width, height, samples, -(-max(numbers(page, _BITS, (1,))) // 8))
    if number(page, _DEPTH, 1) > 1:
        raise ValueError(f"is a volume of {number(page, _DEPTH, 1)} slices; {_ADVICE}")
    kind = number(page, _PHOTOMETRIC, _GRAY)
    if kind not in _PLAIN:
        raise ValueError(f"holds {_NAMES.get(kind, f'pixels of kind {kind}')}; save it as gray or RGB")
    if kind == _PALETTE and 0 < max(numbers(page, _COLOURS) or (0,)) < 256:
        raise ValueError(
            "has a palette of 8 bits, as some programs write it, where TIFF has 16: all its colours would be "
            "black; save it as PNG"
        )


def _plain(page: Tags) -> bool:
    """Whether Pillow reads the page as it is."""
    bits, samples = set(numbers(page, _BITS, (1,))), number(page, _SAMPLES, 1)
    kind, extra = number(page, _PHOTOMETRIC, _GRAY), numbers(page, _EXTRA)
    few = samples == 1 and kind in (_WHITE_IS_ZERO, _GRAY, _PALETTE) and bits in ({1}, {2}, {4})
    return (
        (bits == {8} or few)
        and set(numbers(page, _FORMAT, (1,))) == {1}
        and (samples, extra) in _PLAIN[kind]
        and (kind != _CMYK or number(page, _INKS, 1) == 1)
    )


def _check_deep(page: Tags, content: bytes) -> None:
    """Refuse what tifffile must not be given, or what has no exact form here."""
    kind = number(page, _PHOTOMETRIC, _GRAY)
    if kind not in (_WHITE_IS_ZERO, _GRAY, _RGB):
        raise ValueError("has more than 8 bits per channel or extra channels, and is neither gray nor RGB")
    if len(set(numbers(page, _BITS, (1,)))) > 1 or len(set(numbers(page, _FORMAT, (1,)))) > 1:
        raise ValueError("has channels of several depths; save it with one")
    if number(page, _COMPRESSION, 1) not in _COMPRESSIONS:
        raise ValueError(
            f"is compressed by method {number(page, _COMPRESSION, 1)}; allowed for images of more than "
            "8 bits per channel or many channels: none, LZW, deflate, PackBits, LZMA, Zstandard"
        )
    samples = number(page, _SAMPLES, 1)
    depth = -(-max(numbers(page, _BITS, (1,))) // 8)
    if number(page, 322, 1) * number(page, 323, 1) * samples * depth > MOST_BYTES:
        raise ValueError(f"has tiles of more than {MOST_BYTES} bytes")
    places = numbers(page, 324) or numbers(page, 273)
    sizes = numbers(page, 325) or numbers(page, 279)
    if not places or len(places) != len(sizes):
        raise ValueError("the TIFF does not say where its pixels are")
    for place, size in zip(places, sizes, strict=True):
        if not size or place + size > len(content):
            raise ValueError("the TIFF is truncated: some of its pixels are not in the file")


def _by_tifffile(content: bytes, number_of_page: int, page: Tags) -> Shaped[np.ndarray, "h w c"]:
    """The samples of a page as they are in the file, but black is 0."""
    try:
        from tifffile import TiffFile
    except ImportError as error:
        kind = "more than 8 bits per channel or more channels than RGB"
        raise ValueError(f"has {kind}: {import_failure(error)}") from None
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters was checked
    with TiffFile(io.BytesIO(content)) as file:
        found: Any = file.pages[number_of_page]
        axes, values = found.axes, np.asarray(found.asarray())
    if axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"has pixels in the order {axes}; {_ADVICE}")
    if axes == "YX":
        values = values[:, :, None]
    elif axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    if values.shape != (number(page, 257, 0), number(page, 256, 0), number(page, _SAMPLES, 1)):
        raise ValueError(f"the TIFF is damaged: its tags do not agree with its pixels, {values.shape}")
    if number(page, _PHOTOMETRIC, _GRAY) == _WHITE_IS_ZERO:
        if values.dtype.kind != "u":
            raise ValueError("says that 0 is white, which its values cannot mean; save it with black as 0")
        values = values.dtype.type(2 ** max(numbers(page, _BITS, (1,))) - 1) - values
    return values


def _alpha(page: Tags) -> tuple[int | None, bool]:
    """Which sample is alpha, and whether colours are multiplied by it."""
    extra, samples = numbers(page, _EXTRA), number(page, _SAMPLES, 1)
    places = [i for i, meaning in enumerate(extra) if meaning in (1, 2)]
    if len(places) > 1 or len(extra) >= samples:
        raise ValueError("has several alpha channels; save it with one or none")
    if not places:
        return None, False
    return samples - len(extra) + places[0], extra[places[0]] == 1
