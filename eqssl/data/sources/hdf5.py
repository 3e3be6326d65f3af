"""HDF5 files of images: one with everything, or images and labels in files of their own, as PCam has them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eqssl.config.sources import Hdf5Settings, SplitName
from eqssl.data.sources.arrays.hdf5_file import array, image_layout, images, links, names, opened, values
from eqssl.data.sources.arrays.layouts import Layout
from eqssl.data.sources.arrays.names import Part, Wanted, noted_merged, parts, shown_names
from eqssl.data.sources.base import EVERY, Sample
from eqssl.data.sources.files.split_files import found_files
from eqssl.data.sources.labels import class_indices, plain_values

_ENDINGS = (".h5", ".hdf5", ".he5")
_ROLES = frozenset(("x", "y", "image", "images", "label", "labels", "mask", "masks", "groups", "ans"))
"""Words that tell the files of a split apart."""


@dataclass(frozen=True)
class _Place:
    """An array of a file."""

    path: Path
    name: str


@dataclass(frozen=True)
class _Unit:
    """Images with their labels and groups."""

    split: SplitName | None
    images: _Place
    labels: _Place | None
    groups: _Place | None
    layout: Layout


class Hdf5Files:
    """Images in `settings.path`: one HDF5 file, or a folder of them.

    The arrays are `images` with `labels` or `ans`, or `x` with `y`, or have the name of a split, such as
    `train_images`. Labels can be in a file of their own, whose name has `y` where that of the images has `x`.
    Links and values in other files are not followed.

    Raises:
        ValueError: a file is damaged, an array is missing or of another form; names the file and array.
        OSError: a file cannot be read.
    """

    licence = "not stated in the files"

    def __init__(self, settings: Hdf5Settings) -> None:
        self._labelled = settings.labelled
        self._wanted = Wanted(
            settings.images, settings.labels if settings.labelled else None, settings.groups
        )
        taken = found_files(Path(settings.path), _ENDINGS, settings.files, _ROLES)
        self._notes = taken.all_notes()
        self._present: set[str] = set()
        found = [(path, split, part) for path, split in taken.files for part in self._parts(path)]
        self._units = [self._unit(path, split, part, found) for path, split, part in found if part.images]
        if not self._units:
            named = f" {settings.images!r}" if settings.images else ""
            raise ValueError(
                f"{settings.path}: has no array of images{named} (has {shown_names(self._present)}); name it "
                "with `images`"
            )
        for key, places in (
            ("labels", [unit.labels for unit in self._units]),
            ("groups", [unit.groups for unit in self._units]),
        ):
            if getattr(self._wanted, key) is not None and not any(places):
                raise ValueError(f"{settings.path}: {key}: has no array {getattr(self._wanted, key)!r}")
        raw = [self._values(unit.labels, unit) if settings.labelled else None for unit in self._units]
        plain = [
            None if column is None else _plain(column, unit.labels)
            for column, unit in zip(raw, self._units, strict=True)
        ]
        try:
            self.classes, indices = class_indices(plain)
        except ValueError as error:
            raise ValueError(f"{settings.path}: {error}") from None
        self._labels = [
            labels if labels is not None else [None] * unit.layout.count
            for labels, unit in zip(indices, self._units, strict=True)
        ]
        self._groups = [self._values(unit.groups, unit) for unit in self._units]
        self.origin = f"HDF5 files {', '.join(sorted({unit.images.path.name for unit in self._units}))}"
        self.notes = (*self._notes, *self._noted())

    def count(self) -> int:
        """Number of images."""
        return sum(unit.layout.count for unit in self._units)

    def samples(self) -> Iterator[Sample]:
        """The images of one file after the other, in the order of the arrays.

        Raises:
            ValueError: a file is damaged, or an image does not fit; names the file, array and image.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        numbers: Counter[SplitName | None] = Counter()
        first = 0
        for unit, labels, groups in zip(self._units, self._labels, self._groups, strict=True):
            with opened(unit.images.path) as file:
                for row, pixels in enumerate(images(file, unit.images.name, first, wanted)):
                    index = numbers[unit.split]
                    numbers[unit.split] += 1
                    yield Sample(
                        f"{unit.split}-{index:08d}" if unit.split else f"{index:08d}",
                        pixels,
                        labels[row],
                        unit.split,
                        index,
                        group=None if groups is None else str(groups[row]),
                        name=f"{unit.images.path.name}: {unit.images.name}[{row}]",
                    )
            first += unit.layout.count

    def _parts(self, path: Path) -> tuple[Part, ...]:
        """The known arrays of a file; what else it holds becomes a note."""
        with opened(path) as file:
            present = names(file)
            self._present.update(present)
            # an array that the settings name is looked for by its path, so that a link is named as one
            for name in (self._wanted.images, self._wanted.labels, self._wanted.groups):
                if name and "{split}" not in name and name.split("/")[0] in links(file):
                    array(file, name)
            found = parts(present, self._wanted)
            if other := links(file):
                self._notes.append(f"{path.name}: links are not followed: {shown_names(other)}.")
        self._notes += (f"{path.name}: {note}" for note in noted_merged(found))
        used = {name for part in found for name in (part.images, part.labels, part.groups)}
        if rest := set(present) - used:
            self._notes.append(f"{path.name}: arrays that were left out: {shown_names(rest)}.")
        return found

    def _unit(
        self,
        path: Path,
        split: SplitName | None,
        part: Part,
        found: list[tuple[Path, SplitName | None, Part]],
    ) -> _Unit:
        with opened(path) as file:
            form = image_layout(file, part.images)
        labels = _Place(path, part.labels) if part.labels else None
        groups = _Place(path, part.groups) if part.groups else None
        if labels is None:
            partner = _partner(path, [(p, other) for p, s, other in found if not other.images and s == split])
            if partner is not None:
                place, other = partner
                labels = _Place(place, other.labels) if other.labels else None
                groups = groups or (_Place(place, other.groups) if other.groups else None)
        return _Unit(part.split or split, _Place(path, part.images), labels, groups, form)

    @staticmethod
    def _values(place: _Place | None, unit: _Unit) -> np.ndarray | None:
        if place is None:
            return None
        with opened(place.path) as file:
            return values(file, place.name, unit.layout.count)

    def _noted(self) -> Iterator[str]:
        for unit in self._units:
            where = f"{unit.images.path.name}: {unit.images.name}"
            yield from (f"{where} {note}." for note in unit.layout.notes)
            if self._labelled and unit.labels is None:
                yield f"{where} has no labels."


def _plain(column: np.ndarray, place: _Place | None) -> list[int | float | str | None]:
    try:
        return plain_values(column)
    except ValueError as error:
        raise ValueError(f"{place.path}: {place.name}: {error}" if place else str(error)) from None


def _partner(path: Path, others: list[tuple[Path, Part]]) -> tuple[Path, Part] | None:
    """The file with the labels of a file of images: the one with `y` in place of `x`, or the only one.

    Raises:
        ValueError: there are several.
    """
    names_of_labels = {re.sub(r"(?<![A-Za-z])x(?![A-Za-z])", "y", path.stem), f"{path.stem}_labels"}
    by_name = [other for other in others if other[0].stem in names_of_labels]
    chosen = by_name or others
    if len(chosen) > 1:
        listed = ", ".join(other[0].name for other in chosen)
        raise ValueError(f"{path}: has no labels, and several files could have them: {listed}")
    return chosen[0] if chosen else None
