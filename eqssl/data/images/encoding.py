"""Encoding images for the shards."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from eqssl.data.images.npy import npy_bytes
from eqssl.data.images.pixels import Pixels


def encode_png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Encode a gray or RGB image as PNG; equal images give equal bytes."""
    return _saved(image, "PNG")


def encode_image(pixels: Pixels, store: Literal["png", "jpeg", "webp"], quality: int) -> tuple[str, bytes]:
    """Encode an image in its stored form; equal images give equal bytes.

    Images of 8 bits with 1 or 3 channels become what `store` says. No common format holds all others: gray of
    16 bits becomes PNG, and the rest npy; `store: png` stands for these too.

    Args:
        pixels: rows, columns, channels; uint8 or uint16.
        store: as in the settings.
        quality: as in the settings.

    Returns:
        The ending of its name, and its bytes.

    Raises:
        ValueError: `store` is a format that cannot hold it without a loss of channels or bits.
    """
    channels = pixels.shape[2]
    if pixels.dtype == np.uint8 and channels in (1, 3):
        if store == "jpeg":
            # 4:4:4: half the resolution of colour would be a second loss, of which the settings say nothing
            return "jpg", _saved(pixels, "JPEG", quality=quality, subsampling=0)
        if store == "webp":
            return "webp", _saved(pixels, "WEBP", quality=quality, method=4)
        return "png", encode_png(pixels)
    if store != "png":
        raise ValueError(
            f"has {channels} channels of {pixels.dtype}, which `store: {store}` cannot hold; allowed: png, "
            "which stores gray of 16 bits as PNG and the rest as npy"
        )
    if pixels.dtype == np.uint16 and channels == 1:
        return "png", _saved(pixels, "PNG")
    return "npy", npy_bytes(pixels)


def _saved(pixels: Pixels, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, kind, **options)
    return buffer.getvalue()
