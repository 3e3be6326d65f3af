"""Where the members of a plain tar begin, read from its headers without extraction."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = 512


class Member(NamedTuple):
    """A file in a tar: its name, the offset of its bytes, and their number."""

    name: str
    offset: int
    size: int


def members(path: str | Path) -> Iterator[Member]:
    """The members of an uncompressed USTAR file, in order.

    Raises:
        ValueError: the file is truncated, or has entries other than plain files with short names.
    """
    path = Path(path)
    if path.stat().st_size < _BLOCK:
        raise ValueError(f"{path}: is cut off: shorter than one tar header")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield from members_in(content, path)


def members_in(content: mmap.mmap, path: Path) -> Iterator[Member]:
    """Like `members`, for the bytes of a file that is open; its path is for messages."""
    place = 0
    while True:
        header = content[place : place + _BLOCK]
        if len(header) < _BLOCK:
            raise ValueError(f"{path}: is cut off at byte {len(content)}")
        if not header.strip(b"\0"):
            return
        member = _member(path, header, place)
        if member.offset + member.size > len(content):
            raise ValueError(f"{path}: {member.name}: is cut off at byte {len(content)}")
        yield member
        place = member.offset + -(-member.size // _BLOCK) * _BLOCK


def _member(path: Path, header: bytes, place: int) -> Member:
    plain = header[257:262] == b"ustar" and header[156:157] in b"0\0" and not header[345:346].strip(b"\0")
    try:
        if not plain:
            raise ValueError
        return Member(
            header[:100].rstrip(b"\0").decode("ascii"), place + _BLOCK, int(header[124:136].rstrip(b" \0"), 8)
        )
    except ValueError:
        raise ValueError(f"{path}: the header at byte {place} is not that of a plain USTAR file") from None
