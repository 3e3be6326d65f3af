"""One pass over a source: check every image, bring it to its stored form and keep it as an image file."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

from eqssl.config.jobs import ShardJob
from eqssl.data.disc import disc
from eqssl.data.images import decode_image
from eqssl.data.shards.identical import same_numbers
from eqssl.data.shards.intensities import Range
from eqssl.data.shards.moments import same_turned
from eqssl.data.shards.preparing import Prepared, prepare
from eqssl.data.shards.rows import Rows, called
from eqssl.data.shards.sizes import Sizes
from eqssl.data.shards.workers import InOrder
from eqssl.data.sources.base import Sample, Source
from eqssl.machine.live.progress import track
from eqssl.machine.naming import naming


class Gathered:
    """The stored images of a data set: image files in one unnamed temporary file, the rest in memory.

    Attributes:
        rows: keys, labels, splits, groups and names, in the source's order.
        shape: (channels, height, width) of every image.
        deep: whether stored values have 16 bits.
        endings: of the image files.
        sizes: of the images at the source.
    """

    def __init__(self, job: ShardJob, classes: int, spool: IO[bytes]) -> None:
        self.rows = Rows(job.dataset, classes)
        self.shape: tuple[int, int, int] = (0, 0, 0)
        self.deep = False
        self.endings: list[str] = []
        self.sizes = Sizes(job.data.size)
        self._job, self._spool = job, spool
        self._places = array("q")
        self._end = 0
        self._sums, self._squares = array("q"), array("q")
        self._summaries: list[bytes] = []
        self._same: dict[int, bytes] = {}

    def add(self, sample: Sample, prepared: Prepared) -> None:
        """Check an image and keep it.

        Raises:
            ValueError: the key, the label or the shape is wrong; names the data set and the key.
        """
        if not self.rows.keys:
            self.shape, self.deep = prepared.shape, prepared.deep
        self._check_shape(sample, prepared)
        if prepared.same is not None:
            self._same[len(self.rows)] = prepared.same
        self.sizes.add(*prepared.source, called(sample))
        self.rows.add(sample)
        self._spool.write(prepared.content)
        self._places.extend((self._end, len(prepared.content)))
        self._end += len(prepared.content)
        self.endings.append(prepared.ending)
        self._sums.extend(prepared.sums)
        self._squares.extend(prepared.squares)
        self._summaries.append(prepared.summary)

    def content(self, i: int) -> bytes:
        """The file of image number i."""
        offset, size = self._places[2 * i : 2 * i + 2]
        self._spool.seek(offset)
        return self._spool.read(size)

    def identical(self) -> list[int]:
        """A number for each image: that of the first image with the same pixels, also turned or mirrored."""

        def name(i: int) -> bytes:
            return self._same[i] if i in self._same else same_turned(decode_image(self.content(i)))

        return same_numbers(self._summaries, name)

    def mean_std(self, chosen: Int[np.ndarray, " n"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel of the chosen images, inside the mask, scaled to [0, 1].

        Sums are sums of integers, so the order of the images does not matter.

        Raises:
            ValueError: all pixels of a channel have the same value.
        """
        channels, size = self.shape[:2]
        pixels = len(chosen) * (size**2 if self._job.data.mask == "none" else int(disc(size).sum()))
        largest = 65535 if self.deep else 255
        sums, squares = (
            _exact_sums(np.frombuffer(values, np.int64).reshape(-1, channels)[chosen])
            for values in (self._sums, self._squares)
        )
        mean = sums / pixels
        variance = np.maximum(squares / pixels - mean**2, 0)
        for channel in np.flatnonzero(variance < 1e-6 * (largest / 255) ** 2):
            raise ValueError(
                f"data set {self._job.dataset}: channel {channel} is {mean[channel]:g} in all pixels "
                "of all training images"
            )
        return tuple((mean / largest).tolist()), tuple((np.sqrt(variance) / largest).tolist())

    def _check_shape(self, sample: Sample, prepared: Prepared) -> None:
        """Refuse an image that does not fit to those before."""
        (channels, side, _), (others, others_side, _) = prepared.shape, self.shape
        if channels != others:
            rgb = "; `channels: 1` makes all gray, `channels: 3` makes all RGB"
            hint = rgb if {channels, others} == {1, 3} else "; all must have as many"
            differs = f"has {channels} channels, others have {others}{hint}"
        elif side != others_side:
            others_have = f"others have {others_side} x {others_side}"
            differs = f"has {side} x {side} pixels, {others_have}; `size` makes all alike"
        elif prepared.deep != self.deep:
            bits = {False: 8, True: 16}
            differs = (
                f"is stored with {bits[prepared.deep]} bits, others with {bits[self.deep]}; save all alike"
            )
        else:
            return
        raise ValueError(f"{self.rows.where(sample)}: {differs}")


@contextmanager
def gather(
    source: Source, job: ShardJob, folder: Path, scale: Range | None = None, processes: int = 1
) -> Iterator[Gathered]:
    """Read the whole source. Within the block, image files are kept in an unnamed file in `folder`.

    Args:
        source: the images.
        job: how they are stored.
        folder: of the shards.
        scale: intensities that become 0 and the largest value; None keeps them.
        processes: how many prepare images.

    Raises:
        ValueError: an image is wrong; names the data set, the key and the reason.
        OSError: a file cannot be read or written, or a process was killed.
    """
    with naming(folder), tempfile.TemporaryFile(dir=folder) as spool:
        images = Gathered(job, len(source.classes), spool)
        work = partial(prepare, settings=job.data, scale=scale)
        for sample, prepared in track(
            InOrder(work, processes)(source.samples()), source.count(), f"reading {job.dataset}"
        ):
            images.rows.check(sample)
            if isinstance(prepared, ValueError):
                raise ValueError(f"{images.rows.where(sample)}: {prepared}")
            images.add(sample, prepared)
        yield images


def _exact_sums(values: Int[np.ndarray, "n c"]) -> np.ndarray:
    """Sums over the images: of high and low halves, since all of it may need more than 64 bits."""
    high, low = (values >> 32).sum(0), (values & 0xFFFFFFFF).sum(0)
    return np.array([(int(a) << 32) + int(b) for a, b in zip(high, low, strict=True)], dtype=np.float64)
