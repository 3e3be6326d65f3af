"""What an image is once it is decoded, and the bounds that hold before a pixel is read."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32, Shaped, UInt8, UInt16

Pixels: TypeAlias = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"] | Float32[np.ndarray, "h w c"]
"""An image: rows, columns, 1 to 32 channels."""

MOST_PIXELS = 2**26
"""Most pixels of an image: 8,192 x 8,192. A small file can claim more, and decoding would allocate them."""
MOST_CHANNELS = 32
MOST_BYTES = 2**29
"""Most bytes of an image once it is decoded."""


class Decoded(NamedTuple):
    """An image and how opaque it is.

    Attributes:
        pixels: rows, columns, channels; uint8, uint16 or float32.
        alpha: 0 is transparent, the largest value of its type opaque; None if all pixels are opaque.
    """

    pixels: Pixels
    alpha: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"] | None


def check_size(width: int, height: int, channels: int = 1, depth: int = 1) -> None:
    """Refuse an image that is empty or too large, before memory is allocated for it.

    Args:
        width: in pixels.
        height: in pixels.
        channels: how many; alpha may be one more.
        depth: bytes of one value.

    Raises:
        ValueError: with the size and what is allowed.
    """
    if width < 1 or height < 1:
        raise ValueError(f"has {width} x {height} pixels")
    if width * height > MOST_PIXELS:
        raise ValueError(f"has {width} x {height} pixels, allowed: at most {MOST_PIXELS} in all")
    if not 1 <= channels <= MOST_CHANNELS + 1:
        raise ValueError(f"has {channels} channels, allowed: 1 to {MOST_CHANNELS}")
    if (size := width * height * channels * depth) > MOST_BYTES:
        raise ValueError(f"has {size} bytes once decoded, allowed: at most {MOST_BYTES}")


def exact(values: Shaped[np.ndarray, "h w c"]) -> Pixels:
    """Values as uint8, uint16 or float32, if one of these holds every one of them exactly.

    Raises:
        ValueError: none does, or a value is not a finite number.
    """
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype in (np.uint8, np.uint16):
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"holds {values.dtype} values, allowed: uint8, uint16 and float32")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("has pixels that are infinite or not a number")
    with np.errstate(over="ignore"):
        close = values.astype(np.float32)
        same = np.isfinite(close).all() and (close.astype(np.float64) == values).all()
    # 2^53 and more: the comparison itself would round
    if not same or (values.dtype.itemsize == 8 and (np.abs(close) >= 2**53).any()):
        raise ValueError(
            f"holds {values.dtype} values that float32 does not hold exactly; save it as uint16 or float32"
        )
    return close


def split_alpha(values: Pixels, alpha: int | None, premultiplied: bool = False) -> Decoded:
    """Take one channel of an image as its alpha.

    Args:
        values: the image with its alpha.
        alpha: number of that channel; None for an image without one.
        premultiplied: whether colours are already multiplied by alpha.

    Raises:
        ValueError: there are too many channels, or alpha is not 1 everywhere in an image of floats.
    """
    if alpha is None:
        check_channels(values)
        return Decoded(values, None)
    opaque = values[:, :, alpha]
    colours = np.ascontiguousarray(np.delete(values, alpha, 2))
    check_channels(colours)
    if colours.dtype == np.float32:
        if (opaque != 1).any():
            raise ValueError("has an alpha channel of floats that is not 1 everywhere; save it without alpha")
        return Decoded(colours, None)
    top = np.iinfo(values.dtype).max
    if (opaque == top).all():
        return Decoded(colours, None)
    if premultiplied:
        colours = _divided(colours, opaque)
    return Decoded(colours, np.ascontiguousarray(opaque))


def check_channels(values: Shaped[np.ndarray, "h w c"]) -> None:
    """Refuse an image without channels or with too many.

    Raises:
        ValueError: with the number.
    """
    if not 1 <= values.shape[2] <= MOST_CHANNELS:
        raise ValueError(f"has {values.shape[2]} channels, allowed: 1 to {MOST_CHANNELS}")


def _divided(colours: Pixels, alpha: Shaped[np.ndarray, "h w"]) -> Pixels:
    """Colours before they were multiplied by alpha, rounded; multiplying them again gives the same values."""
    top = np.iinfo(colours.dtype).max
    wide = alpha[:, :, None].astype(np.uint64)
    plain = (colours.astype(np.uint64) * top + wide // 2) // np.maximum(wide, 1)
    return np.minimum(plain, top).astype(colours.dtype)
