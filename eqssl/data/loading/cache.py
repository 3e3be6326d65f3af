"""Fetched files in a folder of bounded size: whole or not at all, and the least recently used go first.

A file is named by its SHA-256, so one that two data sets share is fetched once. While it is open it is locked
(flock, shared), and a locked file is not removed. A file in the making has its full size from the start, so
that it counts, and an exclusive lock. The kernel drops locks when a process ends, even if it is killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from eqssl.config.regular_files import open_regular
from eqssl.machine.locks import check_shared, open_lock
from eqssl.machine.naming import naming

Fetch = Callable[[], Iterable[bytes]]
_WHOLE, _PART, _USED = ".whole", ".part", ".used"


class Cache:
    """A folder of fetched files.

    Args:
        folder: the folder; it is made if missing.
        most: bytes that all files may have together.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most

    def path(self, sha256: str) -> Path:
        """Where the file with this hash is, or will be."""
        return self._folder / f"{sha256}{_WHOLE}"

    def open(self, sha256: str, size: int, fetch: Fetch, name: str) -> BufferedReader:
        """Open a file, and fetch it first if it is not there. It is not removed as long as it is open.

        Args:
            sha256: its hash.
            size: its size in bytes.
            fetch: gives its bytes part by part.
            name: what a person calls it.

        Raises:
            ValueError: it does not fit into the cache, or what was fetched is something else; names it.
            OSError: it cannot be fetched or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        check_shared(self._folder, f"chmod o-w {self._folder}, or set EQSSL_SCRATCH to a folder of your own")
        while True:
            try:
                file = open_regular(self.path(sha256))
            except FileNotFoundError:
                self._fetch(sha256, size, fetch, name)
                continue
            fcntl.flock(file, fcntl.LOCK_SH)
            if os.fstat(file.fileno()).st_nlink:  # else it was removed before the lock was there
                _note_use(self.path(sha256))
                return file
            file.close()

    def forget(self, sha256: str) -> None:
        """Remove a file, as one that turned out to be damaged."""
        self.path(sha256).unlink(missing_ok=True)

    def _fetch(self, sha256: str, size: int, fetch: Fetch, name: str) -> None:
        """Fetch a file, unless another process has just done so. Only one at a time fetches the same file."""
        path, part = self.path(sha256), self.path(sha256).with_suffix(_PART)
        with _part(part) as file:
            if path.exists() or not _is_at(file, part):
                return
            try:
                os.ftruncate(file, 0)  # a killed process may have left it
                self._reserve(file, size, name)
                with naming(part):
                    _fill(file, sha256, size, fetch, name)
                _note_use(path)
                part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def _reserve(self, file: int, size: int, name: str) -> None:
        """Make room for a file, and take it by giving the empty file its full size."""
        with open_lock(self._folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            used = {path: path.stat().st_size for path in self._files()}
            room = self._most - sum(used.values())
            for path in sorted(used, key=_last_use):
                if room >= size:
                    break
                if used[path] and _removed(path):
                    room += used[path]
            if room < size:
                raise ValueError(
                    f"{name}: has {size} bytes, and the cache has room for {max(room, 0)}: raise "
                    f"machine.cache_mb, given {self._most // 2**20}"
                )
            os.ftruncate(file, size)

    def _files(self) -> Iterator[Path]:
        for path in self._folder.iterdir():
            if path.suffix in (_WHOLE, _PART) and path.is_file():
                yield path


def _fill(file: int, sha256: str, size: int, fetch: Fetch, name: str) -> None:
    found, place = hashlib.sha256(), 0
    for content in fetch():
        found.update(content)
        if place + len(content) > size:
            raise ValueError(f"{name}: is too long: more than the {size} bytes that index.json states")
        while content:
            written = os.pwrite(file, content, place)
            place, content = place + written, content[written:]
    if place != size:
        raise ValueError(f"{name}: is truncated: {place} bytes, index.json states {size}")
    if found.hexdigest() != sha256:
        raise ValueError(f"{name}: SHA-256 is {found.hexdigest()}, index.json states {sha256}")
    os.fsync(file)


@contextmanager
def _part(path: Path) -> Iterator[int]:
    """A file in the making, for this process alone; waits for others."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file still has its path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _note_use(path: Path) -> None:
    """Remember that a file is used now. Its own times are left alone, since they show whether it changed."""
    mark, now = path.with_suffix(_USED), time.time_ns()
    mark.touch()
    os.utime(mark, ns=(now, now))  # finer than the clock of `touch`


def _last_use(path: Path) -> int:
    try:
        return path.with_suffix(_USED).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _removed(path: Path) -> bool:
    """Remove a file that nobody uses. Returns whether it is gone."""
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            path.with_suffix(_USED).unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True
