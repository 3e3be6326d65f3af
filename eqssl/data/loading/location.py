"""Where shards are: a folder of this machine, or a place that is fetched from."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Protocol

from eqssl.config.machine import CACHE_MB, DECODED_MB, MOST_MB
from eqssl.config.regular_files import open_regular
from eqssl.data.shards.index import ShardIndex, Tar


class Budget(NamedTuple):
    """How much loading may keep in the scratch folder; see `MachineSettings`. No result depends on it.

    Attributes:
        decoded_mb: MiB of decoded images of a split.
        cache_mb: MiB of tars that were fetched.
    """

    decoded_mb: int = DECODED_MB
    cache_mb: int = CACHE_MB

    @classmethod
    def given(cls, **sizes: int | None) -> Budget:
        """The sizes that were given, and the usual ones for the others.

        Raises:
            ValueError: a size is out of range.
        """
        chosen = {name: size for name, size in sizes.items() if size is not None}
        for name, size in chosen.items():
            if not 1 - (name == "decoded_mb") <= size <= MOST_MB:
                raise ValueError(f"{name}: given {size}, allowed: 1 to {MOST_MB} (decoded_mb: from 0 on)")
        return cls(**chosen)


DEFAULT = Budget()


class Shards(Protocol):
    """An index and its tars.

    Attributes:
        index: the index.
    """

    index: ShardIndex

    @property
    def most_bytes(self) -> int | None:
        """How many bytes of tars can be on this machine at a time; None if all are there."""
        ...

    def path(self, tar: Tar) -> Path:
        """Where the bytes of a tar are on this machine, or will be."""
        ...

    def name(self, tar: Tar) -> str:
        """What a person calls the tar, for messages."""
        ...

    def open(self, tar: Tar) -> BufferedReader:
        """A tar for reading. It stays readable as long as it is open."""
        ...

    def renew(self, tar: Tar) -> bool:
        """Forget a damaged copy, so that `open` gives a new one. Returns whether there can be a new one."""
        ...


class LocalShards:
    """A folder of this machine; see `Shards`."""

    most_bytes: int | None = None

    def __init__(self, folder: str | Path) -> None:
        self.index = ShardIndex.load(folder)

    def path(self, tar: Tar) -> Path:
        """The tar in the folder."""
        return self.index.folder / tar.name

    def name(self, tar: Tar) -> str:
        """Its path."""
        return str(self.path(tar))

    def open(self, tar: Tar) -> BufferedReader:
        """The file.

        Raises:
            OSError: it is missing, no regular file, or cannot be read; names it.
        """
        return open_regular(self.path(tar))

    def renew(self, tar: Tar) -> bool:
        """A file of the user is never replaced."""
        return False


def is_remote(location: str | Path) -> bool:
    """Whether a location is one that is fetched from, such as https://host/folder or s3://bucket/folder."""
    return "://" in str(location)


def open_shards(location: str | Path, budget: Budget = DEFAULT) -> Shards:
    """The shards at a location.

    Args:
        location: a folder, or its address: `http://`, `https://`, `s3://` or another of fsspec.
        budget: how much may be kept of what is fetched.

    Raises:
        ValueError: index.json is wrong, or fsspec is missing; names the file or the address.
        OSError: index.json cannot be read or fetched.
    """
    if not is_remote(location):
        return LocalShards(location)
    from eqssl.data.loading.remote import RemoteShards

    return RemoteShards(str(location), budget.cache_mb * 2**20)
