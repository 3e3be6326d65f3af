"""Decoding image files into arrays, and encoding arrays as PNG."""

from __future__ import annotations

import io
import warnings
from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image

MOST_PIXELS = 2**26
"""Most pixels of an image: 8,192 x 8,192. A small file can claim more, and decoding would allocate them."""
_GRAY = {"1", "L", "LA", "La"}
# formats that Pillow decodes itself; for some others it would run external programs on untrusted data
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_FILTERS = Lock()  # the filters of warnings belong to all threads
# more than 8 bits per channel: a conversion would clip, and the right scale is unknown
_DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


def decode_image(content: bytes) -> UInt8[np.ndarray, "h w c"]:
    """Decode an image file: gray stays one channel, everything else becomes RGB.

    Raises:
        ValueError: with the reason; the caller adds the file and row.
    """
    try:
        with _opened(content) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"has {image.width} x {image.height} pixels, allowed: at most {MOST_PIXELS} in all"
                )
            if image.mode in _DEEP:
                raise ValueError(f"has more than 8 bits per channel (mode {image.mode})")
            array = np.array(image.convert("L" if image.mode in _GRAY else "RGB"))  # torch wants it writable
    except Exception as error:  # Pillow's decoders raise errors of any type
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise ValueError(f"cannot be decoded as an image: {reason}") from None
    return array[:, :, None] if array.ndim == 2 else array


def _opened(content: bytes) -> Image.Image:
    """The image before any pixel is decoded. Pillow has its own limits, some of which only give warnings."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(io.BytesIO(content), formats=_FORMATS)
        except Image.DecompressionBombError:
            raise ValueError(
                f"has more than {MOST_PIXELS} pixels, which is the most that is allowed"
            ) from None


def encode_png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Encode a gray or RGB image as PNG; equal images give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
