"""From a sample to what is stored of it: pure, so that any process can do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqssl.config.sources import SourceSettings
from eqssl.data.images import decode_image, encode_png
from eqssl.data.shards.moments import moments, same_turned
from eqssl.data.shards.stored_form import stored_form
from eqssl.data.sources.base import Sample

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is stored of an image, and what has to be known of its pixels.

    Attributes:
        ending: of the image file: png, jpg, webp or npy.
        content: the image file.
        shape: (channels, height, width).
        deep: whether values have 16 bits.
        sums, squares: of the stored values and their squares, per channel.
        summary: equal for identical images; see `Moments`.
        same: the safe name of an image among those that are identical; None if the stored pixels give it.
    """

    ending: str
    content: bytes
    shape: tuple[int, int, int]
    deep: bool
    sums: tuple[int, ...]
    squares: tuple[int, ...]
    summary: bytes
    same: bytes | None


def prepare(sample: Sample, settings: SourceSettings, scale: Range | None = None) -> Prepared:
    """Bring an image to its stored form and encode it.

    Args:
        sample: the image; its key and label are not looked at.
        settings: how images are stored.
        scale: intensities that become 0 and the largest value; None keeps them.

    Raises:
        ValueError: the image is damaged, or settings do not fit it; says why.
    """
    image = stored_form(sample, settings)
    ending, content = "png", encode_png(image)
    sums, squares, summary = moments(image)
    same = None
    if settings.turned or scale is not None:
        before = stored_form(sample, settings.model_copy(update={"turned": False}))
        summary = same = same_turned(before)
    size, _, channels = image.shape
    deep = image.dtype == np.uint16
    return Prepared(ending, content, (channels, size, size), deep, sums, squares, summary, same)
