"""One pass over a source: check every image, bring it to its stored form and keep it as PNG."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

from eqssl.config.jobs import ShardJob
from eqssl.config.sources import SplitName
from eqssl.data.images import encode_png
from eqssl.data.shards.stored_form import stored_form
from eqssl.data.sources.base import Sample, Source
from eqssl.data.views.disc import disc
from eqssl.machine.live.progress import track
from eqssl.machine.naming import naming

_KEY = re.compile(r"[0-9a-z_-]+")
# a longer key does not fit into a plain tar header
_LONGEST_KEY = 96


class Gathered:
    """The stored images of a data set: PNG data in one unnamed temporary file, the rest in memory.

    Attributes:
        keys, labels, splits: one entry per image, in the source's order.
        shape: (channels, height, width) of every image.
    """

    def __init__(self, job: ShardJob, classes: int, spool: IO[bytes]) -> None:
        self.keys: list[str] = []
        self.labels: list[int | None] = []
        self.splits: list[SplitName | None] = []
        self.shape: tuple[int, int, int] = (0, 0, 0)
        self._job, self._classes, self._spool = job, classes, spool
        self._known: set[str] = set()
        self._places: list[tuple[int, int]] = []
        self._end = 0
        self._sums: list[list[int]] = []
        self._squares: list[list[int]] = []

    def add(self, sample: Sample) -> None:
        """Check an image, bring it to its stored form and keep it.

        Raises:
            ValueError: the key, the label or the shape is wrong; names the data set and the key.
        """
        self._check(sample)
        try:
            image = stored_form(sample, self._job.data)
        except ValueError as error:
            raise ValueError(f"{self._where(sample)}: {error}") from None
        size, channels = image.shape[0], image.shape[2]
        if not self.keys:
            self.shape = (channels, size, size)
        elif (channels, size, size) != self.shape:
            raise ValueError(f"{self._where(sample)}: {self._difference(size, channels)}")
        png = encode_png(image)
        self._spool.write(png)
        self._places.append((self._end, len(png)))
        self._end += len(png)
        self._known.add(sample.key)
        self.keys.append(sample.key)
        self.labels.append(sample.label)
        self.splits.append(sample.split)
        values = image.reshape(-1, channels).astype(np.int64)
        self._sums.append(values.sum(0).tolist())
        self._squares.append((values**2).sum(0).tolist())

    def png(self, i: int) -> bytes:
        """The PNG data of image number i."""
        offset, size = self._places[i]
        self._spool.seek(offset)
        return self._spool.read(size)

    def mean_std(self, chosen: Int[np.ndarray, " n"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel of the chosen images, inside the disc, scaled to [0, 1].

        Sums are sums of integers, so the order of the images does not matter.

        Raises:
            ValueError: all pixels of a channel have the same value.
        """
        pixels = len(chosen) * int(disc(self.shape[1]).sum())
        sums, squares = (np.array(values)[chosen].sum(0) for values in (self._sums, self._squares))
        mean = sums / pixels
        variance = np.maximum(squares / pixels - mean**2, 0)
        for channel in np.flatnonzero(variance < 1e-6):
            raise ValueError(
                f"data set {self._job.dataset}: channel {channel} is {mean[channel]:g} in all pixels "
                "of all training images"
            )
        return tuple((mean / 255).tolist()), tuple((np.sqrt(variance) / 255).tolist())

    def _difference(self, size: int, channels: int) -> str:
        """In what an image differs from those before, and which setting makes all alike."""
        others = self.shape[0]
        if channels != others:
            rgb = "; `channels: 1` makes all gray, `channels: 3` makes all RGB"
            hint = rgb if {channels, others} == {1, 3} else "; all must have as many"
            return f"has {channels} channels, others have {others}{hint}"
        side = self.shape[1]
        return f"has {size} x {size} pixels, others have {side} x {side}; `size` makes all alike"

    def _where(self, sample: Sample) -> str:
        name = f" ({sample.name})" if sample.name else ""
        split = f"{sample.split} " if sample.split else ""
        return f"data set {self._job.dataset}: {split}image {sample.key!r}{name}"

    def _check(self, sample: Sample) -> None:
        if not _KEY.fullmatch(sample.key) or len(sample.key) > _LONGEST_KEY:
            raise ValueError(
                f"{self._where(sample)}: a key may have up to {_LONGEST_KEY} digits, small letters, _ and -"
            )
        if sample.key in self._known:
            raise ValueError(f"{self._where(sample)}: another image has this key")
        if sample.label is not None and not 0 <= sample.label < self._classes:
            raise ValueError(
                f"{self._where(sample)}: label {sample.label} is out of range, "
                f"allowed: 0 to {self._classes - 1}"
            )


@contextmanager
def gather(source: Source, job: ShardJob, folder: Path) -> Iterator[Gathered]:
    """Read the whole source. Within the block, PNG data is kept in an unnamed file in `folder`."""
    with naming(folder), tempfile.TemporaryFile(dir=folder) as spool:
        images = Gathered(job, len(source.classes), spool)
        for sample in track(source.samples(), source.count(), f"reading {job.dataset}"):
            images.add(sample)
        yield images
