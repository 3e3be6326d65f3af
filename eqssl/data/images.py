"""Decoding image files into arrays, and encoding arrays as PNG."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_GRAY = {"1", "L", "LA", "La"}
# formats that Pillow decodes itself; for some others it would run external programs on untrusted data
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
# more than 8 bits per channel: a conversion would clip, and the right scale is unknown
_DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


def decode_image(content: bytes) -> UInt8[np.ndarray, "h w c"]:
    """Decode an image file: gray stays one channel, everything else becomes RGB.

    Raises:
        ValueError: with the reason; the caller adds the file and row.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.mode in _DEEP:
                raise ValueError(f"has more than 8 bits per channel (mode {image.mode})")
            array = np.asarray(image.convert("L" if image.mode in _GRAY else "RGB"))
    except Exception as error:  # Pillow's decoders raise whatever they meet
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise ValueError(f"cannot be decoded as an image: {reason}") from None
    return array[:, :, None] if array.ndim == 2 else array


def encode_png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Encode a gray or RGB image as PNG; equal images give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
