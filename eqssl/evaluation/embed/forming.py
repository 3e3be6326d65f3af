"""Images in the form that an encoder reads."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16

from eqssl.config.sources import SourceSettings
from eqssl.data.shards.stored_form import opaque, read, stored_form
from eqssl.data.sources.base import Sample

_EIGHT_BITS = 255


class Formed(NamedTuple):
    """An image in the form that an encoder reads.

    Attributes:
        pixels: side x side x channels.
        source: height, width and channels at the source.
        digest: SHA-256 of the image as it is at the source.
    """

    pixels: UInt8[np.ndarray, "s s c"] | UInt16[np.ndarray, "s s c"]
    source: tuple[int, int, int]
    digest: bytes


def formed(sample: Sample, settings: SourceSettings) -> Formed:
    """Bring an image to the form that the encoder reads.

    Args:
        sample: the image.
        settings: what `settings_for` gives.

    Raises:
        ValueError: the image is damaged, or settings do not fit it; the caller adds its name.
    """
    decoded = read(sample, settings)
    pixels = stored_form(replace(sample, image=opaque(decoded, settings)), settings)
    scale = settings.range
    if isinstance(scale, tuple) and scale[1] > _EIGHT_BITS and pixels.dtype == np.uint8:
        raise ValueError(
            f"has 8 bits per channel, but the range of intensities is {scale[0]:g} to {scale[1]:g}, that of "
            "images of more; `range: [0, 255]` keeps them as they are"
        )
    height, width, channels = decoded.pixels.shape
    return Formed(pixels, (height, width, channels), digest_of(sample))


def digest_of(sample: Sample) -> bytes:
    """SHA-256 of an image as it is at the source: of its file, or of its pixels with type and shape."""
    image = sample.image
    if isinstance(image, bytes):
        return hashlib.sha256(image).digest()
    head = f"{image.dtype} {image.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).digest()
