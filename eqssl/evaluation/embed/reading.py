"""The images of a source, one batch after the other, from the first one that has no row yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from eqssl.config.sources import SourceSettings
from eqssl.data.shards.rows import Rows
from eqssl.data.shards.workers import InOrder
from eqssl.data.sources.base import Sample, Source
from eqssl.evaluation.embed.images import Formed, digest_of, formed
from eqssl.evaluation.embed.parts import Parts
from eqssl.machine.live.progress import Show

TEXTS = ("key", "name", "label", "group", "split")
Read = tuple[Sample, Formed]


class Reading:
    """The images of a source that have no row yet.

    Args:
        source: the images.
        name: what messages call it.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.source = source
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

    def batches(self, settings: SourceSettings, processes: int, size: int) -> Iterator[list[Read]]:
        """The images that are left.

        Args:
            settings: the form that they are brought to.
            processes: how many do that.
            size: images of a batch.

        Raises:
            ValueError: an image is damaged; names it.
        """
        read = self._formed(InOrder(partial(formed, settings=settings), processes)(self._samples))
        while batch := list(islice(read, size)):
            yield batch

    def _formed(self, read: Iterable[tuple[Sample, Formed | ValueError]]) -> Iterator[Read]:
        for sample, found in read:
            if isinstance(found, ValueError):
                raise ValueError(f"{self._rows.where(sample)}: {found}")
            yield sample, found
