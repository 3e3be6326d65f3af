"""A survey of a data set: every image is counted, the pixels of some are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from eqssl.config.sources import SourceSettings, SplitName
from eqssl.data.images import decode
from eqssl.data.images.pixels import Decoded
from eqssl.data.shards.rows import Rows
from eqssl.data.sources import open_source
from eqssl.data.sources.base import Outlined, Sample, Source
from eqssl.machine.live.progress import track

MOST_LOOKED_AT = 200
"""Images whose pixels are looked at."""
MANY = 2000
"""From this number of images on, progress is shown."""


@dataclass
class Pixels:
    """What the images that were looked at are.

    Attributes:
        sizes: (width, height) -> number of images.
        channels: number of channels, without alpha -> number of images.
        types: uint8, uint16 or float32 -> number of images.
        transparent: names of images with transparent pixels.
        broken: names of images that cannot be read, each with the reason.
        low, high: least and largest value of those of more than 8 bits.
    """

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    transparent: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, sample: Sample) -> None:
        """Look at an image."""
        name = sample.name or sample.key
        try:
            if isinstance(sample.image, bytes):
                pixels, alpha = decode(sample.image)
            else:
                pixels, alpha = Decoded(sample.image, None)
        except ValueError as error:
            self.broken.append((name, str(error)))
            return
        height, width, channels = pixels.shape
        self.sizes[width, height] += 1
        self.channels[channels] += 1
        self.types[pixels.dtype.name] += 1
        if alpha is not None:
            self.transparent.append(name)
        if pixels.dtype != np.uint8:
            self.low, self.high = min(self.low, float(pixels.min())), max(self.high, float(pixels.max()))

    @property
    def seen(self) -> int:
        """Number of images that could be read."""
        return self.types.total()


@dataclass(frozen=True)
class Survey:
    """What a data set holds.

    Attributes:
        origin: in words.
        classes: their names, in the order of the labels.
        rows: what is known of every image beside its pixels.
        notes: of the source, on what was guessed and left out.
        pixels: of the images that were looked at.
        looked: their number.
    """

    origin: str
    classes: tuple[str, ...]
    rows: Rows
    notes: tuple[str, ...]
    pixels: Pixels
    looked: int

    def splits(self) -> Counter[SplitName | None]:
        """Number of images of each split; of None if the source has no splits."""
        return Counter(self.rows.splits)

    def labels(self) -> Counter[int | None]:
        """Number of images of each label; of None without a label."""
        return Counter(self.rows.labels)

    def groups(self) -> Counter[str]:
        """Number of images of each group."""
        return Counter(group for group in self.rows.groups if group is not None)

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return any(label is not None for label in self.rows.labels)


def look(name: str, settings: SourceSettings, most: int = MOST_LOOKED_AT) -> Survey:
    """Look at a data set.

    Args:
        name: of the data set, for messages.
        settings: its entry in `datasets`.
        most: images whose pixels are looked at; they are spread evenly.

    Raises:
        ValueError: the source refuses what is there, or no image that was looked at can be read.
        OSError: a file cannot be read.
    """
    source = open_source(settings)
    count = source.count()
    wanted = spread(count, most)
    rows, pixels = Rows(name, len(source.classes)), Pixels()
    samples = _outline(source, wanted)
    if count >= MANY:
        samples = track(samples, count, f"looking at {name}", "images")
    for number, sample in enumerate(samples):
        rows.add(sample)
        if number in wanted:
            pixels.add(sample)
    if wanted and not pixels.seen:
        first, reason = pixels.broken[0]
        raise ValueError(
            f"{settings.inputs[0]}: none of {len(wanted)} images can be read, such as {first}: {reason}"
        )
    return Survey(source.origin, source.classes, rows, tuple(source.notes), pixels, len(wanted))


def spread(count: int, most: int) -> frozenset[int]:
    """At most so many of the numbers from 0 to count - 1, spread evenly."""
    if count <= most:
        return frozenset(range(count))
    return frozenset((2 * i + 1) * count // (2 * most) for i in range(most))


def _outline(source: Source, wanted: frozenset[int]) -> Iterator[Sample]:
    """The samples, with pixels where they are wanted; a source may read those of the others too."""
    return source.outline(wanted) if isinstance(source, Outlined) else source.samples()
