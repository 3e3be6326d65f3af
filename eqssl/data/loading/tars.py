"""The tars of a split: each is checked before it is used, then read at any place by any number of threads."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from mmap import ACCESS_READ, mmap
from threading import Lock

import numpy as np
from jaxtyping import Int

from eqssl.config.sources import SplitName
from eqssl.data.loading.agreement import Row, check_agreement, rows_of
from eqssl.data.loading.location import Shards
from eqssl.data.shards.index import Tar
from eqssl.machine.hashes import TICK, HashCache, Identity, hashed, open_identity
from eqssl.machine.live.progress import track
from eqssl.machine.scratch import scratch

_MOST_OPEN = 256
_TRIES = 20


class _DamagedError(ValueError):
    """The bytes of a tar are not those that index.json states."""


@contextmanager
def checked(shards: Shards, tar: Tar, rows: list[Row]) -> Iterator[tuple[BufferedReader, Identity]]:
    """A tar, open, after checking its size, its checksum and its members. A damaged copy is fetched again.

    Yields:
        The file, and the identity that stands for its bytes.

    Raises:
        ValueError: the tar is not what index.json states; names the tar, the key and the reason.
        OSError: it cannot be read.
    """
    with shards.open(tar) as file:
        try:
            identity = _check(file, shards, tar, rows)
        except _DamagedError:
            if not shards.renew(tar):
                raise
        else:
            yield file, identity
            return
    with shards.open(tar) as file:
        yield file, _check(file, shards, tar, rows)


def _check(file: BufferedReader, shards: Shards, tar: Tar, rows: list[Row]) -> Identity:
    name = shards.name(tar)
    for _ in range(_TRIES):
        size = open_identity(file, shards.path(tar)).size
        if reason := tar.wrong_size(size):
            raise _DamagedError(f"{name}: {reason}")
        if not size:
            raise ValueError(f"{name}: is empty")
        found, identity = hashed(file, shards.path(tar))
        if found != tar.sha256:
            raise _DamagedError(f"{name}: SHA-256 is {found}, index.json states {tar.sha256}")
        if identity is not None:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
                check_agreement(content, name, rows)
            return identity
        time.sleep(2 * TICK / 1e9)  # it was written a moment ago: a later change might not show yet
    raise ValueError(f"{name}: is being written to")


class Tars:
    """All tars of a split. At most 256 of them are open.

    The first process that uses these shards on this machine reads each tar from end to end. Later ones find
    in the scratch folder that it was whole, and by its identity that it has not changed since. The identity
    is compared after each reading, so a tar that changes under the run is checked again.

    Raises:
        ValueError: a tar is not what index.json states; names the tar, the key and the reason.
        OSError: a tar cannot be read.
    """

    def __init__(self, shards: Shards, split: SplitName) -> None:
        columns = shards.index.splits[split]
        self._shards, self._columns = shards, columns
        self._tar = np.array(columns.tar, np.int64)
        self._order = np.argsort(self._tar, kind="stable")
        self._cache = HashCache(scratch() / "checked" / f"{shards.index.digest}-{split}.json")
        self._identities: dict[int, Identity] = {}
        self._open: OrderedDict[int, _Handle] = OrderedDict()
        self._lock = Lock()
        numbers = np.unique(self._tar).tolist()
        for number in track(numbers, len(numbers), f"checking {shards.index.dataset} {split}"):
            self._handle(number)
        self._cache.save()

    def name(self, row: int) -> str:
        """The tar and the key of an image, for messages."""
        return (
            f"{self._shards.name(self._shards.index.tars[self._columns.tar[row]])}: {self._columns.keys[row]}"
        )

    def content(self, row: int) -> bytes:
        """The image file of a row.

        Raises:
            ValueError: the tar was written to and is no longer what index.json states; names it.
            OSError: it cannot be read.
        """
        columns = self._columns
        number, size, offset = columns.tar[row], columns.size[row], columns.offset[row]
        while True:
            handle = self._open.get(number) or self._handle(number)
            content = os.pread(handle.number, size, offset)
            if handle.is_unchanged():
                return content
            with self._lock:
                self._open.pop(number, None)

    def _handle(self, number: int) -> _Handle:
        """The open tar, checked if it was not, or if it may have changed since."""
        with self._lock:
            if (handle := self._open.get(number)) is not None:
                return handle
            tar = self._shards.index.tars[number]
            path = self._shards.path(tar)
            with self._shards.open(tar) as file:
                now = open_identity(file, path)
                if now == self._identities.get(number) or self._cache.get(path, now) == tar.sha256:
                    return self._kept(number, file, now)
            with checked(self._shards, tar, self._rows(number)) as (file, identity):
                self._cache.put(path, identity, tar.sha256)
                return self._kept(number, file, identity)

    def _kept(self, number: int, file: BufferedReader, identity: Identity) -> _Handle:
        self._identities[number] = identity
        self._open[number] = _Handle(file, identity)
        if len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return self._open[number]

    def _rows(self, number: int) -> list[Row]:
        first, last = np.searchsorted(self._tar[self._order], [number, number + 1])
        own: Int[np.ndarray, " n"] = self._order[first:last]
        return rows_of(self._columns, own.tolist())


class _Handle:
    """An open file that is closed when its last user is done, so that no thread reads from another file."""

    def __init__(self, file: BufferedReader, identity: Identity) -> None:
        self.number, self._identity = os.dup(file.fileno()), identity

    def is_unchanged(self) -> bool:
        """Whether the file still is as when it was checked."""
        return Identity.of(os.fstat(self.number)) == self._identity

    def __del__(self) -> None:
        os.close(self.number)
