"""The sky: photographs of galaxies, clusters and nebulae that come with the planetarium Stellarium."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eqssl.config.regular_files import read_bytes
from eqssl.config.sources import SkySettings
from eqssl.data.sources.base import Sample
from eqssl.data.sources.packaged.sky_catalogue import Entry, Place, read_catalogue, read_places

# where the package stellarium-data of Debian and Ubuntu puts them
DEBIAN = Path("/usr/share/stellarium/nebulae/default")
_LARGEST = 2**26
"""Bytes of a picture; the largest of the package has 9 million."""
_UNNAMED = 10  # pictures without a type that are named in a note

CLASSES = (
    "galaxy",
    "open cluster",
    "globular cluster",
    "planetary nebula",
    "bright nebula",
    "dark nebula",
    "supernova remnant",
    "cluster of galaxies",
)
# types of Stellarium's catalogue (its NebulaType) -> class
_KINDS = {
    **dict.fromkeys((0, 1, 2, 3), "galaxy"),  # galaxy, active, radio, interacting
    6: "open cluster",
    7: "globular cluster",
    11: "planetary nebula",
    # nebula, reflection, bipolar, emission, cluster with nebula, HII region
    **dict.fromkeys((10, 13, 14, 15, 16, 17), "bright nebula"),
    **dict.fromkeys((12, 23), "dark nebula"),  # dark nebula, molecular cloud
    18: "supernova remnant",
    33: "cluster of galaxies",
}
# start of a file name -> catalogue; a number follows
_PREFIXES = {
    "n": "NGC",
    "ic": "IC",
    "m": "M",
    "u": "UGC",
    "p": "PGC",
    "barnard": "B",
    "sh2": "Sh2",
    "rcw": "RCW",
    "ldn": "LDN",
    "lbn": "LBN",
    "vdb": "VdB",
}
_NAME = re.compile(rf"({'|'.join(_PREFIXES)})-?(\d+)")


class Sky:
    """The pictures in `settings.path` or where Debian's package puts them, read in place.

    A picture is named after an object, such as `n1023.png` after NGC 1023, and gets the type of this object
    from the catalogue, if the object is inside the picture. Pictures that may show the same part of the sky
    form a group.

    Raises:
        ValueError: a file is missing or damaged, or the catalogue has an unknown layout; names the file.
        OSError: a file cannot be read.
    """

    licence = (
        "GPL-2+ or as the photographer allows: CC BY, CC BY-SA, public domain, or with credit; see "
        "/usr/share/doc/stellarium-data/copyright and, for each picture, imageCredits in textures.json"
    )
    origin = "pictures of the deep sky that come with Stellarium (Debian's package stellarium-data)"

    def __init__(self, settings: SkySettings) -> None:
        self._folder = Path(settings.path) if settings.path else DEBIAN
        for name in ("textures.json", "catalog.dat"):
            if not (self._folder / name).is_file():
                raise ValueError(
                    f"{self._folder / name} is not there: apt install stellarium-data, or give as `path` its "
                    "folder nebulae/default"
                )
        places = read_places(self._folder / "textures.json")
        self._files = sorted(file.name for file in self._folder.glob("*.png"))
        if not self._files:
            raise ValueError(f"{self._folder}: has no *.png")
        objects = _by_name(read_catalogue(self._folder / "catalog.dat"))
        kinds = {name: _kind(name, places.get(name), objects) for name in self._files}
        counts = Counter(kinds.values())
        self.classes = tuple(name for name in CLASSES if counts[name])
        self._labels = {
            name: self.classes.index(kind) if kind is not None else None for name, kind in kinds.items()
        }
        self._groups = _groups(self._files, places)
        self.notes = self._noted()

    def count(self) -> int:
        """Number of pictures."""
        return len(self._files)

    def samples(self) -> Iterator[Sample]:
        """The pictures in the order of their file names, as the bytes of their files.

        Raises:
            ValueError: a picture is too large; names the file.
            OSError: it cannot be read.
        """
        for index, name in enumerate(self._files):
            path = self._folder / name
            yield Sample(
                re.sub(r"[^0-9a-z_-]", "-", path.stem.lower()),
                read_bytes(path, _LARGEST),
                self._labels[name],
                None,
                index,
                group=self._groups[name],
                name=name,
            )

    def _noted(self) -> tuple[str, ...]:
        notes = [
            "The label is the type in Stellarium's catalogue of the object that the file is named after. "
            "Galaxies of all kinds are one class, and so are reflection, emission and bipolar nebulae, HII "
            "regions and clusters in a nebula (bright nebula), and dark nebulae and molecular clouds (dark "
            "nebula).",
            "Pictures that may show the same part of the sky are one group.",
        ]
        unknown = [name for name in self._files if self._labels[name] is None]
        if unknown:
            rest = f" and {len(unknown) - _UNNAMED} others" if len(unknown) > _UNNAMED else ""
            notes.append(
                f"{len(unknown)} pictures have no label, because the catalogue has no such object inside "
                f"them or a type that is none of the classes: {', '.join(unknown[:_UNNAMED])}{rest}."
            )
        return tuple(notes)


def _by_name(entries: list[Entry]) -> dict[tuple[str, int], list[Entry]]:
    found: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        for name in entry.names.items():
            found.setdefault(name, []).append(entry)
    return found


def _kind(file: str, place: Place | None, objects: dict[tuple[str, int], list[Entry]]) -> str | None:
    """The class of a picture. The parts of a pair can have two types; then both must be of one class."""
    match = _NAME.match(file)
    if match is None or place is None:
        return None
    named = objects.get((_PREFIXES[match[1]], int(match[2])), [])
    kinds = {_KINDS.get(entry.kind) for entry in named if place.holds(entry.direction)}
    return kinds.pop() if len(kinds) == 1 else None


def _groups(files: list[str], places: dict[str, Place]) -> dict[str, str]:
    """Name of the first picture of the group of each picture; pictures without a place are on their own."""
    first = {name: name for name in files}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    placed = [name for name in files if name in places]
    for i, one in enumerate(placed):
        for other in placed[:i]:
            if places[one].meets(places[other]):
                low, high = sorted((root(one), root(other)))
                first[high] = low
    return {name: root(name).removesuffix(".png") for name in files}
