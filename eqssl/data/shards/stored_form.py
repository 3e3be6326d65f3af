"""The form in which images are stored: square, resized, turned if asked for, cut to the inscribed disc."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.images import decode_image
from eqssl.data.shards.turning import stored_angle, turned
from eqssl.data.sources.base import Sample
from eqssl.data.views.disc import disc


def square(image: UInt8[np.ndarray, "h w c"], size: int | None) -> UInt8[np.ndarray, "s s c"]:
    """Cut out the largest centred square and, if `size` is given, resize it with antialiasing."""
    height, width, channels = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if size is None or size == side:
        return image
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).reshape(size, size, channels)


def stored_form(sample: Sample, settings: SourceSettings) -> UInt8[np.ndarray, "s s c"]:
    """The stored form of an image: square, resized, turned by its own angle if asked for, cut to the disc."""
    pixels = decode_image(sample.image) if isinstance(sample.image, bytes) else sample.image
    image = square(pixels, settings.size)
    if settings.turned:
        image = turned(image, stored_angle(sample.split, sample.index))
    cut: UInt8[np.ndarray, "s s c"] = image * disc(len(image))[:, :, None]
    return cut
