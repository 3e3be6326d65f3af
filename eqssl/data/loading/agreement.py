"""Whether index.json agrees with the contents of a tar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from eqssl.data.shards.index import Columns
from eqssl.data.shards.ustar import Member, members_in

IMAGES, LABEL = ("png", "jpg", "webp", "npy"), "cls"
_LONGEST_LABEL = 20  # digits


class Row(NamedTuple):
    """An image as index.json describes it: its key, the offset and size of its bytes, and its label."""

    key: str
    offset: int
    size: int
    label: int


def rows_of(columns: Columns, numbers: Iterable[int]) -> list[Row]:
    """The images of these numbers as index.json describes them."""
    return [Row(columns.keys[i], columns.offset[i], columns.size[i], columns.labels[i]) for i in numbers]


def check_agreement(content: mmap, path: str | Path, rows: Sequence[Row]) -> None:
    """Compare the members of a tar with what index.json states: keys in their order, places and labels.

    Args:
        content: the bytes of the tar, whose SHA-256 has been checked.
        path: path of the tar, for messages.
        rows: what index.json states of this tar.

    Raises:
        ValueError: they differ, or the tar is not a plain one; names the tar, the key and what differs.
    """
    found = _members(content, path)
    for number, (key, row) in enumerate(zip_longest(found, rows)):
        if key is None or row is None or key != row.key:
            stated = None if row is None else row.key
            raise ValueError(f"{path}: image {number}: its key is {key!r}, index.json states {stated!r}")
        images = [member for kind, member in found[key].items() if kind != LABEL]
        if len(images) != 1:
            raise ValueError(
                f"{path}: {key}: has {len(images)} images in the tar, index.json states 1 "
                f"(.{', .'.join(IMAGES)})"
            )
        (image,), label = images, found[key].get(LABEL)
        if (image.offset, image.size) != (row.offset, row.size):
            raise ValueError(
                f"{path}: {key}: {image.size} bytes from byte {image.offset} on, "
                f"index.json states {row.size} from {row.offset} on"
            )
        text = content[label.offset : label.offset + min(label.size, _LONGEST_LABEL)] if label else b"-1"
        if text != str(row.label).encode():
            raise ValueError(
                f"{path}: {key}: its label is {text.decode('latin-1')!r}, index.json states {row.label}"
            )


def _members(content: mmap, path: str | Path) -> dict[str, dict[str, Member]]:
    """The members of a tar by key and by ending (`png`, `cls` ...), in the order of the tar."""
    found: dict[str, dict[str, Member]] = {}
    for member in members_in(content, Path(path)):
        key, _, kind = member.name.rpartition(".")
        kinds = found.setdefault(key, {})
        if kind in kinds or kind not in (*IMAGES, LABEL):
            raise ValueError(f"{path}: {member.name!r}: is there twice, or no image and no label")
        kinds[kind] = member
    return found
