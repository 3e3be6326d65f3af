"""The images of a split, read from the tars and decoded whenever they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
from jaxtyping import Int

from eqssl.config.sources import SplitName
from eqssl.data.loading.kept import Stored
from eqssl.data.loading.location import Shards
from eqssl.data.loading.pixels import decode_into
from eqssl.data.loading.tars import Tars
from eqssl.machine.slots import usable_cores

Rows: TypeAlias = Int[np.ndarray, " n"]
_AHEAD_BYTES = 2**26
"""Bytes of the batches that are read ahead of their use; two batches at least."""
_MOST_AHEAD = 8
_PIECE = 16  # images of a batch that one thread decodes at a time


class StreamedImages:
    """Images in the order of the index, like a read-only array of shape (n, c, h, w), but in the tars.

    `images[rows]` reads and decodes the images of a slice or of an array of numbers. `in_order` does so for
    one batch after another, ahead of their use.

    Args:
        shards: the index and its tars, which are checked here.
        split: name of the split.
        threads: how many decode at a time.

    Attributes:
        shape, dtype, nbytes: those of the array of all images.

    Raises:
        ValueError: a tar is not what index.json states, or the tars do not all fit into the cache.
        OSError: a tar cannot be read.
    """

    def __init__(self, shards: Shards, split: SplitName, threads: int | None = None) -> None:
        index = shards.index
        self.shape = (len(index.splits[split]), *index.image_shape)
        self.dtype = np.dtype(index.pixels)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self.threads = threads or min(8, len(usable_cores()))
        needed = sum(tar.bytes for tar in index.tars if tar.split == split)
        if shards.most_bytes is not None and needed > shards.most_bytes:
            raise ValueError(
                f"{index.dataset}: the images of split {split} are read in any order from tars of "
                f"{_mb(needed)} MiB: raise machine.cache_mb to that (given {_mb(shards.most_bytes)}), or "
                f"machine.decoded_mb to {_mb(self.nbytes)}"
            )
        self._tars = Tars(shards, split)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Rows) -> Stored:
        """The images of these rows.

        Raises:
            ValueError: an image cannot be decoded or has another shape, or its tar has changed; names the
                tar, the key and the reason.
            OSError: a tar cannot be read.
        """
        wanted = np.arange(len(self))[rows]
        (found,) = self.in_order([wanted])
        return found

    def in_order(self, batches: Iterable[Rows]) -> Iterator[Stored]:
        """The images of one batch after another. A bounded number of batches is read ahead.

        Raises:
            ValueError, OSError: as for `images[rows]`, when the batch with the fault is due.
        """
        waiting: deque[tuple[Stored, list[Future[None]]]] = deque()
        with _pool(self.threads) as pool:
            for rows in batches:
                if waiting and len(waiting) >= self._ahead(len(rows)):
                    yield _finished(*waiting.popleft())
                waiting.append(self._begun(pool, rows))
            while waiting:
                yield _finished(*waiting.popleft())

    def _ahead(self, batch: int) -> int:
        size = max(1, batch * self.nbytes // max(1, len(self)))
        return min(_MOST_AHEAD, max(2, _AHEAD_BYTES // size))

    def _begun(self, pool: ThreadPoolExecutor, rows: Rows) -> tuple[Stored, list[Future[None]]]:
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        starts = range(0, len(rows), _PIECE)
        parts = [(rows[start : start + _PIECE], images[start : start + _PIECE]) for start in starts]
        return images, [pool.submit(self._fill, *part) for part in parts]

    def _fill(self, rows: Rows, images: Stored) -> None:
        for row, place in zip(rows.tolist(), images, strict=True):
            content = self._tars.content(row)
            try:
                decode_into(content, place)
            except ValueError as error:
                raise ValueError(f"{self._tars.name(row)}: {error}") from None


def _mb(size: int) -> int:
    return -(-size // 2**20)


def _finished(images: Stored, parts: list[Future[None]]) -> Stored:
    for part in parts:
        part.result()
    return images


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads. What they have not begun when the block ends is never begun."""
    pool = ThreadPoolExecutor(threads, "images")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
