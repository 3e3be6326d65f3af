"""SHA-256 of files, read again only when a file may have changed.

Its identity shows whether it may have: size, both time stamps and inode. A user can set back the time of the
last modification, but not that of the last change of the inode (ctime).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from eqssl.config.regular_files import open_regular
from eqssl.machine.files import write_text

TICK = 50_000_000
"""Nanoseconds within which two changes of a file may get the same time stamp.

A kernel's clock ticks every 1 to 10 ms. An identity younger than `TICK` proves nothing.
"""
_LONGEST_CACHE = 2**28  # bytes


class Identity(NamedTuple):
    """What stays the same as long as a file is not written to.

    Attributes:
        size: size in bytes.
        modified: time of the last modification, in nanoseconds; a user can set it.
        changed: time of the last change of the inode, in nanoseconds; a user cannot set it.
        inode: number of the inode.
    """

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The identity that the system states."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def identity(path: Path) -> Identity:
    """The identity of a file, or of the file that a link points to.

    Raises:
        ValueError: it is a folder, a pipe or a device.
        OSError: it cannot be found.
    """
    return _identity(path.stat(), path)


def open_identity(file: BufferedReader, path: Path) -> Identity:
    """The identity of an open file, whatever its path leads to by now."""
    return _identity(os.fstat(file.fileno()), path)


def hashed(file: BufferedReader, path: Path) -> tuple[str, Identity | None]:
    """Read an open file from its first byte to its last.

    Returns:
        Its SHA-256 in hexadecimal, and the identity that stands for these bytes from now on. The identity is
        None if the file was written to while it was read, or so shortly before that a later change may not
        show.
    """
    before, begun = open_identity(file, path), time.time_ns()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    held_still = open_identity(file, path) == before and begun - before.changed > TICK
    return digest, before if held_still else None


class HashCache:
    """SHA-256 of files with their identities at that time, in a JSON file.

    A damaged or missing file counts as an empty cache. Several processes may use one cache: each adds its
    entries to what the file holds by then. If two save at the same time, the last one wins.

    Args:
        path: the JSON file, in the scratch folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)
        self._new: dict[str, _Entry] = {}

    def get(self, path: Path, now: Identity) -> str | None:
        """The SHA-256 of a file that has this identity; None if it is not known."""
        entry = self._known.get(_name(path))
        return entry.sha256 if entry and entry.identity == now else None

    def put(self, path: Path, then: Identity, sha256: str) -> None:
        """Remember a file's SHA-256; `save` writes it."""
        self._known[_name(path)] = self._new[_name(path)] = _Entry(identity=then, sha256=sha256)

    def save(self) -> None:
        """Write what was added, atomically, without files that are no longer there.

        Raises:
            OSError: it cannot be written.
        """
        if not self._new:
            return
        self._known = {
            name: entry
            for name, entry in {**_read(self._path), **self._new}.items()
            if os.path.isfile(name)  # noqa: PTH113 - Path.is_file raises for a name with a null byte
        }
        entries = {name: entry.model_dump() for name, entry in sorted(self._known.items())}
        text = json.dumps(entries, separators=(",", ":"))
        write_text(self._path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n")
        self._new = {}


def cached_sha256(path: Path, cache: HashCache) -> str:
    """Hexadecimal SHA-256 of a file's bytes, from the cache if the file's identity is the same as there.

    Args:
        path: the file.
        cache: new hashes are put into it; the caller saves it.

    Raises:
        ValueError: it is not a plain file.
        OSError: it cannot be read.
    """
    if (known := cache.get(path, identity(path))) is not None:
        return known
    with open_regular(path) as file:
        digest, settled = hashed(file, path)
    if settled is not None:
        cache.put(path, settled, digest)
    return digest


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    identity: Identity
    sha256: str


class _Entries(BaseModel):
    model_config = ConfigDict(strict=True)

    entries: dict[str, _Entry]


def _read(path: Path) -> dict[str, _Entry]:
    """The entries of a cache's file; none if its first line is not the SHA-256 of its second."""
    try:
        with open_regular(path) as file:
            digest, _, text = file.read(_LONGEST_CACHE).partition(b"\n")
        text = text.removesuffix(b"\n")
        if digest.decode() != hashlib.sha256(text).hexdigest():
            return {}
        return _Entries.model_validate_json(b'{"entries":' + text + b"}").entries
    except (OSError, ValueError, ValidationError):
        return {}


def _name(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay as they are


def _identity(status: os.stat_result, path: Path) -> Identity:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path}: is not a plain file")
    return Identity.of(status)
