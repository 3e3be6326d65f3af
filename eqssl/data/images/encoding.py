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

    RGB of 8 bits becomes what `store` says, and so does gray, which WebP does not know. Of other images,
    which `store: png` takes too, gray of 16 bits becomes PNG and the rest npy.

    Args:
        pixels: rows, columns, channels; uint8 or uint16.
        store: as in the settings.
        quality: as in the settings.

    Returns:
        The ending of its name, and its bytes.

    Raises:
        ValueError: `store` cannot hold so many channels or bits; names it and what can.
    """
    channels = pixels.shape[2]
    if pixels.dtype == np.uint8 and channels in (1, 3):
        if store == "jpeg":
            # 4:4:4: half the resolution of colour would be a second loss, of which the settings say nothing
            return "jpg", _saved(pixels, "JPEG", quality=quality, subsampling=0)
        if store == "webp" and channels == 3:
            return "webp", _saved(pixels, "WEBP", quality=quality, method=4)
        if store == "png":
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
