"""Samples of WebDataset tars: members of one key, read from a tar in order and never extracted to disk."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eqssl.config.regular_files import open_regular
from eqssl.data.sources.files.guarded import Guarded

MOST_BYTES = 2**28
"""Most bytes of a member."""
_BLOCK = 512
_LONGEST = 4000
_LONGEST_TABLE = 2**20
"""Most bytes of a PAX header or a long name."""


@dataclass(frozen=True)
class Member:
    """A file in a tar.

    Attributes:
        name: as the tar has it.
        offset, size: of its bytes in the tar.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class TarSample:
    """Members of one key that follow each other.

    Attributes:
        key: name up to the first dot, with the folders.
        members: ending in small letters -> member.
    """

    key: str
    members: dict[str, Member]


class OpenTar:
    """A tar that is open for reading; `skipped` names the members that belong to no sample."""

    def __init__(self, path: Path, file: Guarded) -> None:
        self.path, self._file = path, file
        self.skipped: list[str] = []

    def content(self, member: Member, most: int = MOST_BYTES) -> bytes:
        """The bytes of a member.

        Raises:
            ValueError: it is too large or cut off; names the tar and the member.
        """
        if member.size > most:
            raise ValueError(f"{self.path}: {member.name}: has {member.size} bytes, allowed: at most {most}")
        self._file.seek(member.offset)
        parts, left = [], member.size
        while left:
            part = self._file.read(min(left, 2**20))
            if not part:
                raise ValueError(f"{self.path}: {member.name}: is cut off")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def samples(self) -> Iterator[TarSample]:
        """The samples in order.

        Raises:
            ValueError: a member is a link or the like, has an unsafe name or occurs twice, or the tar is cut
                off; names the tar and the member.
        """
        key: str | None = None
        members: dict[str, Member] = {}
        for member in self._members():
            path = PurePosixPath(member.name)
            stem, dot, ending = path.name.partition(".")
            if not stem or not dot or not ending:
                self.skipped.append(member.name)
                continue
            found = str(path.parent / stem) if str(path.parent) != "." else stem
            if found != key:
                if key is not None:
                    yield TarSample(key, members)
                key, members = found, {}
            if ending.lower() in members:
                raise ValueError(f"{self.path}: {member.name}: occurs twice")
            members[ending.lower()] = member
        if key is not None:
            yield TarSample(key, members)

    def _members(self) -> Iterator[Member]:
        try:
            self._file.seek(0)
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    vars(tar)["members"] = []  # it would keep all of them
                    if not info.isdir():
                        yield self._checked(info)
                self._check_end(tar.offset)
        except (tarfile.TarError, EOFError, UnicodeError) as error:
            raise ValueError(
                f"{self.path}: cannot be read as a tar: {' '.join(str(error).split())}"
            ) from None
        except RecursionError:
            raise ValueError(f"{self.path}: cannot be read as a tar: too many headers in a row") from None

    def _checked(self, info: tarfile.TarInfo) -> Member:
        shown = info.name if info.name.isprintable() and len(info.name) <= _LONGEST else repr(info.name[:100])
        if not info.isreg() or info.issparse() or info.size < 0:
            raise ValueError(f"{self.path}: {shown}: is a link, a device or the like, allowed: files")
        path = PurePosixPath(info.name)
        if shown != info.name or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{self.path}: {shown}: allowed are printable names below the tar's folder")
        return Member(info.name, info.offset_data, info.size)

    def _check_end(self, offset: int) -> None:
        """After its members, a tar has blocks of zeros. The reader also stops at headers that are damaged."""
        self._file.seek(offset)
        block = self._file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise ValueError(f"{self.path}: is cut off: it has no blocks of zeros at its end")
        while block:
            if block.strip(b"\0"):
                raise ValueError(
                    f"{self.path}: has a damaged header, or another tar joined to it, near byte {offset}"
                )
            block = self._file.read(2**20)


@contextmanager
def opened_tar(path: Path) -> Iterator[OpenTar]:
    """Open a tar.

    Raises:
        ValueError: it is compressed; names it.
        OSError: it is no regular file, or cannot be read.
    """
    with open_regular(path) as file:
        start = file.read(6)
        if start[:2] == b"\x1f\x8b" or start[:3] == b"BZh" or start == b"\xfd7zXZ\0":
            raise ValueError(f"{path}: is compressed, allowed: plain tars; unpack it with gunzip or the like")
        try:
            yield OpenTar(path, Guarded(file, _LONGEST_TABLE))
        except ValueError as error:
            prefix = "" if str(error).startswith(str(path)) else f"{path}: "
            raise ValueError(f"{prefix}{error}") from None
