"""A folder of image files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from eqssl.config.plain import counted
from eqssl.config.sources import FolderSettings, SplitName
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.base import EVERY, Sample
from eqssl.data.sources.files.image_files import (
    ENDINGS,
    check_images,
    endings_of,
    image_keys,
    is_image_name,
    list_files,
    noted_hidden,
    noted_others,
    read_image,
)
from eqssl.data.sources.files.levels import Said, guessed, told
from eqssl.data.sources.files.patterns import compiled
from eqssl.data.sources.files.split_names import split_of_value
from eqssl.data.sources.labels import Raw, class_indices, plain_label
from eqssl.data.sources.tables.manifest import Manifest

NO_CLASS = "-1"
"""A folder of images without a class, as a label of -1 is none."""
_WHOLE = re.compile("0|[1-9][0-9]{0,17}")


class ImageFolder:
    """The image files in `settings.path` in the order of their paths. Folders or a manifest say their labels.

    Raises:
        ValueError: the folder is missing or has no images, folders may mean several things, a file is empty,
            or the manifest is wrong; names the file and says what to do.
        OSError: a file or a folder cannot be read.
    """

    licence = "not stated in the folder"

    def __init__(self, settings: FolderSettings) -> None:
        self._settings, self._root = settings, Path(settings.path)
        files = list_files(self._root)
        names = self._without_manifest(files.names)
        notes = list(noted_hidden(files))
        manifest = Manifest(settings, set(names)) if settings.manifest is not None else None
        self._names = self._taken(names, manifest, notes)
        check_images(self._root, self._names)
        said = self._said(manifest)
        self.classes, self._labels = self._numbered(said.labels)
        self._splits, self._groups = said.splits, said.groups
        self.origin = f"image files in {self._root}"
        self.notes = (*said.notes, *self._noted_labels(), *notes)

    def count(self) -> int:
        """Number of images."""
        return len(self._names)

    def samples(self) -> Iterator[Sample]:
        """The images in the order of their paths.

        Raises:
            ValueError: a file is empty or very large; names it.
            OSError: a file cannot be read.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        numbers: Counter[SplitName | None] = Counter()
        for i, (name, key) in enumerate(zip(self._names, image_keys(self._names), strict=True)):
            split = self._splits[i] if self._splits else None
            yield Sample(
                key,
                read_image(self._root, name) if i in wanted else b"",
                self._labels[i] if self._labels else None,
                split,
                numbers[split],
                group=self._groups[i] if self._groups else None,
                name=name,
            )
            numbers[split] += 1

    def _without_manifest(self, names: list[str]) -> list[str]:
        """The names of files but that of the manifest, if it lies in the folder."""
        if self._settings.manifest is None:
            return names
        root, manifest = self._root.resolve(), Path(self._settings.manifest).resolve()
        if not manifest.is_relative_to(root):
            return names
        own = manifest.relative_to(root).as_posix()
        return [name for name in names if name != own]

    def _taken(self, names: list[str], manifest: Manifest | None, notes: list[str]) -> list[str]:
        """The names of the images, and notes on what is left out."""
        pattern, root = self._settings.files, self._settings.path
        if pattern is not None:
            matches = compiled(pattern).fullmatch
            chosen = [name for name in names if matches(name)]
            if not chosen:
                raise ValueError(f"files: no file below {root} matches {pattern!r}; hidden files never do")
            if others := set(names).difference(chosen):
                notes.append(
                    f"Left out, since `files` says so: {counted(len(others), 'file')}: {shown_names(others)}."
                )
        else:
            chosen = [name for name in names if is_image_name(name)]
            listed = set(manifest.names) if manifest else set()
            others = set(names).difference(chosen, listed)
            notes.extend(noted_others(self._root, others))
            if not chosen and manifest is None:
                there = f"; it has other files ({endings_of(others)})" if others else ""
                raise ValueError(f"{root}: has no images ({', '.join(ENDINGS)}){there}")
        return chosen if manifest is None else self._listed(names, chosen, manifest, notes)

    def _listed(
        self, names: Sequence[str], chosen: Sequence[str], manifest: Manifest, notes: list[str]
    ) -> list[str]:
        """The names in the manifest, in the order of paths; with `files` those that match."""
        rows = set(manifest.names)
        if unlisted := [name for name in chosen if name not in rows]:
            notes.append(
                f"Left out, without a row in {self._settings.manifest}: {counted(len(unlisted), 'file')}: "
                f"{shown_names(unlisted)}."
            )
        taken = [name for name in (names if self._settings.files is None else chosen) if name in rows]
        if not taken:
            raise ValueError(f"files: no file that matches {self._settings.files!r} is in the manifest")
        return taken

    def _said(self, manifest: Manifest | None) -> Said:
        """What the manifest and the folders say, in the order of the names."""
        levels, labelled = self._settings.folders, self._settings.labelled
        if manifest is None:
            if levels is None:
                return guessed(self._root, self._names, labelled)
            return told(self._root, self._names, levels, labelled)
        rows = {name: row for row, name in enumerate(manifest.names)}
        order = [rows[name] for name in self._names]
        first, second = manifest.said, told(self._root, self._names, levels or (), labelled)
        both = {
            "class": (first.labels, second.labels),
            "split": (first.splits, second.splits),
            "group": (first.groups, second.groups),
        }
        for level, (one, other) in both.items():
            if one is not None and other is not None:
                raise ValueError(f"{self._settings.manifest}: a column and `folders` both say the {level}")
        return Said(
            _ordered(first.labels, order) or second.labels,
            _ordered(first.splits, order) or second.splits,
            _ordered(first.groups, order) or second.groups,
            [*first.notes, *second.notes, *self._noted_splits(first.splits or second.splits)],
        )

    def _noted_splits(self, splits: Sequence[SplitName | None] | None) -> Iterator[str]:
        """A note if folders are named like splits, and a manifest without splits is given."""
        tops = {name.partition("/")[0] for name in self._names if "/" in name}
        if splits is None and tops and all(map(split_of_value, tops)):
            yield (
                f"The folders {shown_names(tops)} are not taken as splits, since a manifest is given; "
                "`folders: [split]` does so."
            )

    def _numbered(self, labels: Sequence[object] | None) -> tuple[tuple[str, ...], list[int | None] | None]:
        """Names of the classes, and each label as an index into them."""
        if labels is None:
            return (), None
        where = self._settings.manifest or self._settings.path
        try:
            classes, (numbers,) = class_indices([_plain(labels)])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        return classes, numbers if classes else None

    def _noted_labels(self) -> Iterator[str]:
        missing = self._labels.count(None) if self._labels else 0
        if missing:
            yield f"{missing} of {self.count()} images have no label."


def _plain(labels: Sequence[object]) -> list[Raw]:
    """Labels as texts and numbers. Names of folders are numbers if all are, so that 10 follows 9."""
    names = {label for label in labels if isinstance(label, str) and label != NO_CLASS}
    whole = all(map(_WHOLE.fullmatch, names))
    known: dict[object, Raw] = {NO_CLASS: None}
    for label in labels:
        if label not in known:
            try:
                known[label] = plain_label(int(label) if whole and isinstance(label, str) else label)
            except ValueError as error:
                raise ValueError(f"a label {error}") from None
    return [known[label] for label in labels]


def _ordered(values: Sequence[Any] | None, order: Sequence[int]) -> list[Any] | None:
    return None if values is None else [values[row] for row in order]
