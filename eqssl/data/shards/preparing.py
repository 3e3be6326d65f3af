"""From a sample to what is stored of it: pure, so that any process can do it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eqssl.config.sources import SourceSettings
from eqssl.data.disc import disc
from eqssl.data.images import encode_image
from eqssl.data.images.pixels import Pixels
from eqssl.data.shards.intensities import Range
from eqssl.data.shards.moments import moments, same_turned
from eqssl.data.shards.stored_form import needs_no_change, of_one_form, prepared, read, stored_form
from eqssl.data.sources.base import Sample


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
        source: (height, width) of the image at the source, upright.
        same: the safe name of an image among those that are identical; None if the stored pixels give it.
    """

    ending: str
    content: bytes
    shape: tuple[int, int, int]
    deep: bool
    sums: tuple[int, ...]
    squares: tuple[int, ...]
    summary: bytes
    source: tuple[int, int]
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
    decoded = read(sample, settings)
    before = of_one_form(decoded, settings)
    image = stored_form(replace(sample, image=before), settings, scale)
    if isinstance(sample.image, bytes) and needs_no_change(sample.image, settings):
        ending, content, exact = "jpg", sample.image, True
    else:
        ending, content = encode_image(image, settings.store, settings.quality)
        exact = ending in ("png", "npy")
    sums, squares, summary = moments(image)
    same = None
    if settings.turned or scale is not None:
        summary = same = _name(before, settings)
    elif not exact:
        same = same_turned(image)
    size, _, channels = image.shape
    deep = image.dtype == np.uint16
    source = (decoded.pixels.shape[0], decoded.pixels.shape[1])
    return Prepared(ending, content, (channels, size, size), deep, sums, squares, summary, source, same)


def name_of(sample: Sample, settings: SourceSettings) -> bytes:
    """A name of the pixels of an image before they are turned and brought into range.

    Images have the same name if they are identical, as they are, turned or mirrored, and only then.

    Raises:
        ValueError: the image is damaged, or settings do not fit it; says why.
    """
    return _name(prepared(sample, settings), settings)


def _name(before: Pixels, settings: SourceSettings) -> bytes:
    return same_turned(before * disc(len(before))[:, :, None] if settings.mask == "disc" else before)
