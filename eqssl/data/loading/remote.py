"""Shards that are fetched through fsspec: over http, from S3, and from whatever else it has a package for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from eqssl.data.loading.cache import Cache
from eqssl.data.shards.index import INDEX_FILE, LARGEST, ShardIndex, Tar
from eqssl.machine.files import atomic
from eqssl.machine.packages import import_failure, install
from eqssl.machine.scratch import scratch

_CHUNK = 2**22  # bytes
_TRIES, _PAUSE = 3, 1.0  # of a connection, in seconds


class RemoteShards:
    """Shards at an address; see `eqssl.data.loading.location.Shards`. Tars are fetched whole.

    Args:
        address: of the folder, such as https://host/folder or s3://bucket/folder.
        most_bytes: of the cache in the scratch folder, which all data sets share.

    Raises:
        ValueError: index.json is wrong, or a package is missing.
        OSError: index.json cannot be fetched.
    """

    def __init__(self, address: str, most_bytes: int) -> None:
        self._address = address.rstrip("/")
        self.most_bytes: int | None = most_bytes
        folder = scratch() / "remote"
        self._cache = Cache(folder / "tars", most_bytes)
        own = folder / hashlib.sha256(self._address.encode()).hexdigest()[:16]
        with atomic(own / INDEX_FILE) as temporary, temporary.open("wb") as file:
            size = 0
            for chunk in self._fetched(INDEX_FILE):
                size += len(chunk)
                if size > LARGEST:
                    raise ValueError(f"{self._address}/{INDEX_FILE}: is larger than {LARGEST} bytes")
                file.write(chunk)
        try:
            self.index = ShardIndex.load(own)
        except ValueError as error:
            raise ValueError(f"{self._address}: {error}") from None

    def path(self, tar: Tar) -> Path:
        """Its place in the cache."""
        return self._cache.path(tar.sha256)

    def name(self, tar: Tar) -> str:
        """Its address."""
        return f"{self._address}/{tar.name}"

    def open(self, tar: Tar) -> BufferedReader:
        """The tar in the cache, fetched if it is not there.

        Raises:
            ValueError: it is not what index.json states, or does not fit into the cache; names it.
            OSError: it cannot be fetched or written; names it.
        """
        return self._cache.open(tar.sha256, tar.bytes, lambda: self._fetched(tar.name), self.name(tar))

    def renew(self, tar: Tar) -> bool:
        """Remove it from the cache."""
        self._cache.forget(tar.sha256)
        return True

    def _fetched(self, name: str) -> Iterator[bytes]:
        """The bytes of a file. An interrupted connection is made again, from where it was cut."""
        address, place = f"{self._address}/{name}", 0
        for left in reversed(range(_TRIES)):
            try:
                for content in _read(address, place):
                    place += len(content)
                    yield content
            except (ValueError, FileNotFoundError, PermissionError):
                raise
            except Exception as error:  # each kind of place has errors of its own
                if not left:
                    reason = str(error).replace("\n", " ") or type(error).__name__
                    raise OSError(f"{address}: cannot be fetched: {reason}") from None
                time.sleep(_PAUSE)
            else:
                return


def _read(address: str, start: int) -> Iterator[bytes]:
    system, path = _system(address)
    try:
        file = system.open(path, "rb", block_size=_CHUNK)
    except FileNotFoundError:
        raise FileNotFoundError(f"{address}: there is no such file") from None
    except PermissionError as error:
        raise PermissionError(f"{address}: may not be read: {error}") from None
    with file:
        left = start  # a place that cannot start in the middle is read from the beginning
        while left:
            left -= len(file.read(min(left, _CHUNK)) or b"x" * left)
        while content := file.read(_CHUNK):
            yield content


def _system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    try:
        from aiohttp import ClientTimeout
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ValueError(f"{address}: {import_failure(error)}") from None
    # no limit for a whole file, which may take hours; one for a connection that says nothing more
    timeout = ClientTimeout(total=None, sock_connect=60, sock_read=60)
    options = {"client_kwargs": {"timeout": timeout}} if address.startswith("http") else {}
    try:
        system, path = url_to_fs(address, **options)
    except (ImportError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(
            f"{address}: {reason} ({install('fsspec')}, and the package for such addresses)"
        ) from None
    return system, path
