"""The tags of TIFF and EXIF, read here: what a TIFF holds must not depend on what is installed."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

Tags: TypeAlias = Mapping[int, "tuple[int, ...] | bytes"]
"""Number of a tag -> its whole numbers, or its bytes as they are if they are no whole numbers."""

ORIENTATION = 274
SUB_IFDS = 330
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZES = {2: 1, 5: 8, 7: 1, 10: 8, 11: 4, 12: 8}
_MOST_TAGS = 4096
_MOST_VALUES = 2**20  # places of strips and tiles; a longer list is not needed to know what is there
_MOST_PAGES = 1000


class TiffPages:
    """The pages of a TIFF. Tags whose values are outside of the file are left out.

    Args:
        content: the whole file.
        first: whether to read only the first page, as of EXIF, whose others are often damaged.

    Attributes:
        pages: the tags of each page of the chain that starts in the header.
        parts: the tags of pages that these name as their parts, such as smaller copies.

    Raises:
        ValueError: the file is damaged, or not TIFF.
    """

    def __init__(self, content: bytes, first: bool = False) -> None:
        self._content, self._most = content, 1 if first else _MOST_PAGES
        if content[:4] in (b"II\x2a\x00", b"MM\x00\x2a"):
            self._big, start = False, 4
        elif content[:4] in (b"II\x2b\x00", b"MM\x00\x2b"):
            self._big, start = True, 8
        else:
            raise ValueError("is no TIFF")
        self._order = "<" if content[:2] == b"II" else ">"
        self._pointer = "Q" if self._big else "I"
        self.pages = self._chain(self._number(self._pointer, start))
        self.parts: list[Tags] = []
        for page in [] if first else self.pages:
            for place in numbers(page, SUB_IFDS):
                self.parts += self._chain(place)

    def _chain(self, place: int) -> list[Tags]:
        found: list[Tags] = []
        seen: set[int] = set()
        while place and (self._most > 1 or not seen):
            if place in seen or len(seen) >= self._most:
                raise ValueError(f"the TIFF has more than {self._most} pages, or they form a circle")
            seen.add(place)
            tags, place = self._page(place)
            found.append(tags)
        return found

    def _page(self, place: int) -> tuple[Tags, int]:
        count = self._number("Q" if self._big else "H", place)
        if count > _MOST_TAGS:
            raise ValueError(f"a page of the TIFF has {count} tags")
        at = place + (8 if self._big else 2)
        step, wide = (20, 8) if self._big else (12, 4)
        tags: dict[int, tuple[int, ...] | bytes] = {}
        for entry in range(at, at + count * step, step):
            code, kind = self._number("H", entry), self._number("H", entry + 2)
            length = self._number(self._pointer, entry + 4)
            value = self._value(kind, length, entry + step - wide, wide)
            if value is not None:
                tags[code] = value
        return tags, self._number(self._pointer, at + count * step)

    def _value(self, kind: int, count: int, at: int, wide: int) -> tuple[int, ...] | bytes | None:
        """What a tag holds; None for what cannot be read or is too long a list."""
        letter = _WHOLE.get(kind)
        size = struct.calcsize(f"={letter}") if letter else _SIZES.get(kind)
        if size is None or count > _MOST_VALUES:
            return None
        if count * size > wide:
            at = self._number(self._pointer, at)
        if at + count * size > len(self._content):
            return None
        if letter is None:
            return self._content[at : at + count * size]
        return struct.unpack_from(f"{self._order}{count}{letter}", self._content, at)

    def _number(self, letter: str, at: int) -> int:
        try:
            (value,) = struct.unpack_from(self._order + letter, self._content, at)
        except struct.error:
            raise ValueError("the TIFF is truncated") from None
        return int(value)


def numbers(tags: Tags, code: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The whole numbers of a tag."""
    value = tags.get(code, default)
    return value if isinstance(value, tuple) else default


def number(tags: Tags, code: int, default: int) -> int:
    """The first whole number of a tag."""
    return (numbers(tags, code) or (default,))[0]


def orientation_of(exif: bytes) -> int:
    """The orientation that EXIF metadata states; 1 if it states none or is damaged, as in every viewer."""
    try:
        pages = TiffPages(exif, first=True).pages
    except ValueError:
        return 1
    return number(pages[0], ORIENTATION, 1) if pages else 1
