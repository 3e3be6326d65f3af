"""The images of a source, one batch after the other, from the first one that has no row yet."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from eqssl.config.sources import SourceSettings
from eqssl.data.shards.rows import Rows
from eqssl.data.sources.base import Sample, Source
from eqssl.evaluation.embed.changes import Changes
from eqssl.evaluation.embed.forming import Formed, digest_of, formed
from eqssl.evaluation.embed.parts import Parts
from eqssl.machine.live.progress import Show

TEXTS = ("key", "name", "label", "group", "split")
_MOST_BYTES = 2**26
"""Bytes of image files and pixels that are read ahead."""
_BATCHES_AHEAD = 4
"""Batches that are prepared while one is used, so that a slow one does not leave the threads without work."""
Read = tuple[Sample, Formed]


class Reading:
    """The images of a source that have no row yet.

    Args:
        source: the images.
        settings: the form that they are brought to.
        name: what messages call the source.

    Attributes:
        changes: what was done to the images that `batches` has given.
    """

    def __init__(self, source: Source, settings: SourceSettings, name: str) -> None:
        self.source, self.changes = source, Changes(settings)
        self._settings = settings
        self._rows, self._keys = Rows(name, len(source.classes)), set[str]()
        self._samples: Iterator[Sample] = iter(source.samples())

    def resume(self, parts: Parts, show: Show) -> int:
        """Compare finished rows with the images, and keep those that agree.

        Returns:
            How many rows are kept; `batches` gives the images after them.
        """
        done = kept = 0
        for rows, read in parts.finished():
            digest = hashlib.sha256()
            for number, sample in enumerate(islice(self._samples, rows), done + 1):
                digest.update(self.identity(sample, digest_of(sample)))
                show(number, "compared with the finished ones")
            if digest.hexdigest() != read:
                self._rewind(done)
                break
            done, kept = done + rows, kept + 1
        parts.keep(kept)
        return done

    def _rewind(self, done: int) -> None:
        """Go back to the image after so many."""
        self._samples = iter(self.source.samples())
        self._keys = {sample.key for sample in islice(self._samples, done)}

    def identity(self, sample: Sample, digest: bytes) -> bytes:
        """What a row is made of: its texts, and the digest of the image.

        Raises:
            ValueError: the key is wrong or there twice; names it.
        """
        self._rows.check(sample)
        if sample.key in self._keys:
            raise ValueError(f"{self._rows.where(sample)}: another image has this key")
        self._keys.add(sample.key)
        return json.dumps(self.texts(sample)).encode() + digest

    def texts(self, sample: Sample) -> tuple[str | None, ...]:
        """The values of `TEXTS` of an image."""
        label = None if sample.label is None else self.source.classes[sample.label]
        return sample.key, sample.name or sample.key, label, sample.group, sample.split

    def batches(self, threads: int, size: int) -> Iterator[list[Read]]:
        """The images that are left. While one is used, threads prepare the next ones.

        Args:
            threads: how many do that.
            size: images of a batch.

        Raises:
            ValueError: an image is damaged; names it.
        """
        with ThreadPoolExecutor(threads) as pool:
            read = self._formed(pool, _BATCHES_AHEAD * size)
            while batch := list(islice(read, size)):
                yield batch

    def _formed(self, pool: Executor, ahead: int) -> Iterator[Read]:
        """The images in their order, so many ahead, but no more than some bytes."""
        waiting = deque[tuple[Sample, Future[Formed]]]()
        side, channels = (
            self._settings.size or 0,
            self._settings.channels or 0,
        )  # `settings_for` gives numbers
        pixels = 2 * side * side * channels  # of 16 bits at most
        pending = 0
        try:
            for sample in self._samples:
                waiting.append((sample, pool.submit(formed, sample, self._settings)))
                pending += sample.nbytes + pixels
                while len(waiting) > ahead or pending > _MOST_BYTES:
                    pending -= waiting[0][0].nbytes + pixels
                    yield self._finished(*waiting.popleft())
            while waiting:
                yield self._finished(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()

    def _finished(self, sample: Sample, future: Future[Formed]) -> Read:
        try:
            image = future.result()
        except ValueError as error:
            raise ValueError(f"{self._rows.where(sample)}: {error}") from None
        except MemoryError:
            raise ValueError(f"{self._rows.where(sample)}: needs more memory than there is") from None
        self.changes.add(sample, image.source)
        return replace(sample, image=b""), image
