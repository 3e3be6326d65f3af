"""What Stellarium knows of its pictures: the catalogue of objects, and where in the sky each picture is."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eqssl.config.plain import parse_json
from eqssl.config.regular_files import open_regular, read_text

_LARGEST = 2**26
"""Bytes of the expanded catalogue; that of Stellarium 0.22 has 22 million."""
_LARGEST_TEXT = 2**23

Vector = tuple[float, float, float]

_START = struct.Struct(">I4dI")  # number, right ascension, declination, two magnitudes, type
_SIZES = struct.Struct(">ddi6d")
_NUMBERS = struct.Struct(">14I")
_PAIR = struct.Struct(">2I")
_LAST = struct.Struct(">5I")
_TEXTS_BETWEEN = 7
_NAMES = ("NGC", "IC", "M", "C", "B", "Sh2", "VdB", "RCW", "LDN", "LBN", "Cr", "Mel", "PGC", "UGC")


@dataclass(frozen=True)
class Entry:
    """An object of the catalogue: its type as a number, its direction, its numbers in other catalogues."""

    kind: int
    direction: Vector
    names: dict[str, int]


@dataclass(frozen=True)
class Place:
    """Where a picture is in the sky: its centre, and the angle from there to its farthest corner."""

    centre: Vector
    radius: float

    def holds(self, direction: Vector) -> bool:
        """Whether a direction is not farther from the centre than the farthest corner."""
        return angle(self.centre, direction) <= self.radius

    def meets(self, other: Place) -> bool:
        """Whether two pictures may show the same part of the sky."""
        return angle(self.centre, other.centre) <= self.radius + other.radius


def angle(one: Vector, other: Vector) -> float:
    """Angle between two directions, in radians."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return math.acos(max(-1.0, min(1.0, product)))


def direction(longitude: float, latitude: float) -> Vector:
    """Unit vector of a direction, given in radians."""
    return (
        math.cos(latitude) * math.cos(longitude),
        math.cos(latitude) * math.sin(longitude),
        math.sin(latitude),
    )


class _Reader:
    """Reads values one after the other, as Qt's QDataStream writes them."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def values(self, form: struct.Struct) -> tuple[Any, ...]:
        values = form.unpack_from(self._content, self.place)
        self.place += form.size
        return values

    def text(self) -> str:
        """A text: the number of bytes, then UTF-16. A missing text has the number 2^32 - 1."""
        (size,) = struct.unpack_from(">I", self._content, self.place)
        size = 0 if size == 2**32 - 1 else size
        start = self.place + 4
        if start + size > len(self._content):
            raise ValueError("a text is longer than the file")
        self.place = start + size
        return self._content[start : self.place].decode("utf-16-be")

    @property
    def ended(self) -> bool:
        return self.place == len(self._content)


def read_catalogue(path: Path) -> list[Entry]:
    """The objects of Stellarium's catalog.dat.

    Raises:
        ValueError: the file is damaged or has another layout than that of Stellarium 0.22; names the file.
        OSError: it cannot be read.
    """
    reader = _Reader(_expanded(path))
    version = "unknown"
    entries: list[Entry] = []
    try:
        version = reader.text()
        reader.text()  # edition
        while not reader.ended:
            entries.append(_entry(reader, len(entries) + 1))
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"{path}: object {len(entries) + 1}: {error}; its version is {version!r}, the layout that is "
            "known is that of 3.16 (Stellarium 0.22)"
        ) from None
    return entries


def _entry(reader: _Reader, expected: int) -> Entry:
    number, longitude, latitude, _, _, kind = reader.values(_START)
    if number != expected:
        raise ValueError(f"has the number {number}")
    reader.text()  # morphological type
    reader.values(_SIZES)
    numbers = reader.values(_NUMBERS)
    reader.text()
    reader.values(_PAIR)
    for _ in range(_TEXTS_BETWEEN):
        reader.text()
    reader.values(_LAST)
    names = {name: value for name, value in zip(_NAMES, numbers, strict=True) if value}
    return Entry(kind, direction(longitude, latitude), names)


def _expanded(path: Path) -> bytes:
    with open_regular(path) as raw:
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                content = file.read(_LARGEST + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: cannot be decompressed: {error}") from None
    if len(content) > _LARGEST:
        raise ValueError(f"{path}: holds more than {_LARGEST} bytes, which is the most that is read")
    return content


_SHORT_FRACTION = re.compile(r"(?<=[\s,\[-])\.(?=\d)")


def read_places(path: Path) -> dict[str, Place]:
    """File name of each picture -> where it is in the sky, from Stellarium's textures.json.

    Raises:
        ValueError: the file is damaged; names the file and the picture.
        OSError: it cannot be read.
    """
    # the file has numbers such as -.97, which JSON does not allow
    text = _SHORT_FRACTION.sub("0.", read_text(path, _LARGEST_TEXT))
    content = parse_json(text, str(path))
    try:
        tiles = content["subTiles"]
        return {str(tile["imageUrl"]): _place(tile["worldCoords"]) for tile in tiles}
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: subTiles lists no pictures with worldCoords: {error!r}") from None


def _place(polygons: list[list[tuple[float, float]]]) -> Place:
    points = [direction(math.radians(a), math.radians(b)) for polygon in polygons for a, b in polygon]
    x, y, z = (sum(values) for values in zip(*points, strict=True))
    length = math.hypot(x, y, z)
    centre = (x / length, y / length, z / length)
    return Place(centre, max(angle(centre, point) for point in points))
