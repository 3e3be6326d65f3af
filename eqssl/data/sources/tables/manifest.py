"""A manifest: a table with a row for each image file, which says its label, split and group."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

from eqssl.config.plain import shown
from eqssl.config.sources import FolderSettings, SplitName
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.files.levels import Said
from eqssl.data.sources.labels import Raw, plain_label
from eqssl.data.sources.tables.manifest_rows import ManifestTable, open_table
from eqssl.data.sources.tables.values import group_of, split_of

Role = Literal["path", "label", "split", "group"]
_ROLES: tuple[Role, ...] = ("path", "label", "split", "group")
_PATHS = ("path", "file", "filename", "file_name", "image")
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NO_LABEL = ("null", "nan")
"""Texts that mean that there is no label, in small letters."""


class Manifest:
    """The rows of `settings.manifest`, one for each image. Its paths are below the folder of the data set.

    Args:
        settings: the data set.
        files: paths of all files below the folder.

    Attributes:
        names: paths of the images, in the order of the rows.
        said: what the manifest says of them.

    Raises:
        ValueError: a column is missing, or a row is wrong; names file, row and reason.
        OSError: the manifest is missing or cannot be read.
    """

    def __init__(self, settings: FolderSettings, files: Collection[str]) -> None:
        self._root, self._files = Path(settings.path), files
        self._path = Path(settings.manifest or "")
        self._table = open_table(self._path, self._root)
        columns, notes = _columns(settings, self._table)
        self._rows: list[int] = []
        self._spellings: dict[str, list[str]] = {}
        self._respelt: list[str] = []
        entries: dict[Role, list[Any]] = {role: [] for role in columns}
        self.names: list[str] = entries["path"]
        known: dict[str, int] = {}
        for row, found in self._table.rows(list(columns.values())):
            name = self._name(row, found[0])
            if (before := known.setdefault(name, row)) != row:
                first = self._table.place(before).rpartition(": ")[2]
                self._refuse(row, f"has the path {shown(name)}, which {first} has too")
            self._rows.append(row)
            for values, value in zip(entries.values(), (name, *found[1:]), strict=True):
                values.append(value)
        if not self.names:
            raise ValueError(f"{self._path}: has no rows")
        if self._respelt:
            notes.append(
                "Paths of the manifest that are spelt otherwise than files, with \\ for / or in another "
                f"Unicode form: {len(self._respelt):,}, such as {self._respelt[0]}."
            )
        self.said = Said(
            self._labels(entries["label"], columns["label"]) if "label" in columns else None,
            self._splits(entries["split"], columns["split"]) if "split" in columns else None,
            self._groups(entries["group"]) if "group" in columns else None,
            notes,
        )

    def _name(self, row: int, value: object) -> str:
        """The path of a row below the folder, if there is such a file."""
        if not isinstance(value, str):
            self._refuse(
                row, "has no path" if value is None else f"has the path {shown(value)}, which is no text"
            )
        name = posixpath.normpath(value)
        if value.startswith("/") or re.match(r"[A-Za-z]:[\\/]", value):
            self._refuse(row, f"has the absolute path {shown(value)}, allowed: paths below {self._root}")
        if name == ".." or name.startswith("../"):
            self._refuse(row, f"has the path {shown(value)}, which leaves {self._root}")
        if name in self._files:
            return name
        found = self._same_path(value)
        if len(found) != 1:
            self._refuse_missing(row, value, name)
        self._respelt.append(f"{value!a} for {found[0]!a}")
        return found[0]

    def _same_path(self, value: str) -> list[str]:
        """The files that a path means which was written by Windows or macOS."""
        if not self._spellings:
            for file in self._files:
                self._spellings.setdefault(unicodedata.normalize("NFC", file), []).append(file)
        name = posixpath.normpath(unicodedata.normalize("NFC", value.replace("\\", "/")))
        return self._spellings.get(name, [])

    def _refuse_missing(self, row: int, value: str, name: str) -> NoReturn:
        reason = "there is no such file"
        with suppress(OSError):
            if (self._root / name).is_dir():
                reason = "that is a folder"
            elif (self._root / name).exists():
                reason = "that is a hidden file or the manifest, which are never taken"
        alike = (
            file
            for file in self._files
            if file.startswith(f"{name}.") or file.endswith(f"/{name}") or file.lower() == name.lower()
        )
        if (found := next(alike, None)) is not None:
            reason += f", but {shown(found)}"
        self._refuse(row, f"has the path {shown(value)}, but below {self._root} {reason}")

    def _labels(self, values: list[Any], column: str) -> list[Raw]:
        if all(value is None or isinstance(value, str) for value in values):
            values = _typed(values)
        names = self._table.class_names(column)
        labels = []
        for row, value in zip(self._rows, values, strict=True):
            try:
                label = plain_label(value)
            except ValueError as error:
                self._refuse(row, f"label {error}")
            if names and isinstance(label, int):
                if label >= len(names):
                    self._refuse(row, f"label is {label}, but the file names {len(names)} classes")
                label = names[label]
            labels.append(label)
        return labels

    def _splits(self, values: list[Any], column: str) -> list[SplitName | None] | None:
        names = self._table.class_names(column)
        splits: list[SplitName | None] = []
        for row, value in zip(self._rows, values, strict=True):
            try:
                splits.append(None if value is None else split_of(value, names))
            except ValueError as error:
                self._refuse(row, f"split: {error}")
        return self._all_or_none(splits, "split", "give every image one, or none")

    def _groups(self, values: list[Any]) -> list[str | None] | None:
        groups = []
        for row, value in zip(self._rows, values, strict=True):
            try:
                groups.append(group_of(value))
            except ValueError as error:
                self._refuse(row, str(error))
        return self._all_or_none(groups, "group", "an image alone needs a group of its own, such as its path")

    def _all_or_none(self, values: list[Any], what: str, way_out: str) -> list[Any] | None:
        """The values; None if all are empty."""
        without = values.count(None)
        if without == len(values):
            return None
        if without:
            row = self._rows[values.index(None)]
            self._refuse(row, f"has no {what}, and {without - 1} more have none, but others have: {way_out}")
        return values

    def _refuse(self, row: int, reason: str) -> NoReturn:
        raise ValueError(f"{self._table.place(row)}: {reason}")


def _columns(settings: FolderSettings, table: ManifestTable) -> tuple[dict[Role, str], list[str]]:
    """Which columns hold what, and a sentence for each thing that was guessed or left out."""
    where = settings.manifest
    found: dict[Role, str] = {}
    guesses, notes = [], []
    for role in _ROLES:
        given = getattr(settings, f"{role}_column")
        if role == "label" and not settings.labelled:
            continue
        if given is not None and given not in table.columns:
            raise ValueError(
                f"{where}: {role}_column: has no column {given!r}; its columns: {shown_names(table.columns)}"
            )
        column = given or _known(settings, table.columns, role)
        if column is not None:
            found[role] = column
            guesses += [] if given else [f"{column!r} as {role}"]
        elif role == "label" and "class" not in (settings.folders or ()):
            notes.append("The manifest has no column 'label', so that the images have no label.")
    if twice := [column for column in found.values() if list(found.values()).count(column) > 1]:
        raise ValueError(f"{where}: column {twice[0]!r} is given for two things")
    if guesses:
        notes.insert(0, f"Columns of the manifest are taken: {', '.join(guesses)}.")
    if others := set(table.columns).difference(found.values()):
        notes.append(f"Columns of the manifest that were left out: {shown_names(others)}.")
    return found, notes


def _known(settings: FolderSettings, columns: Sequence[str], role: Role) -> str | None:
    """The column with the usual name, in small or large letters."""
    fitting = _fitting(columns, (role,))
    if role == "path" and not fitting:
        fitting = _fitting(columns, _PATHS)
    if role == "path" and not fitting:
        raise ValueError(
            f"{settings.manifest}: has no column {', '.join(_PATHS)}; its columns: {shown_names(columns)}; "
            "name one with `path_column`"
        )
    if len(fitting) > 1:
        raise ValueError(
            f"{settings.manifest}: has several columns for the {role}: {shown_names(fitting)}; name one with "
            f"`{role}_column`"
        )
    return fitting[0] if fitting else None


def _fitting(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    exact = [column for column in columns if column in names]
    return exact or [column for column in columns if column.lower() in names]


def _typed(texts: Sequence[str | None]) -> list[Raw]:
    """Texts as labels: numbers if all are numbers, else texts. -1 is no label in any case."""
    given = [None if text is None or text.lower() in _NO_LABEL else text for text in texts]
    whole = [
        None if text is None or not _WHOLE.fullmatch(text) else int(text.split(".")[0]) for text in given
    ]
    if all(text is None or number is not None for text, number in zip(given, whole, strict=True)):
        return list(whole)
    if all(text is None or _NUMBER.fullmatch(text) for text in given) and not any(map(_padded, given)):
        return [None if text is None else float(text) for text in given]
    return [None if number == -1 else text for text, number in zip(given, whole, strict=True)]


def _padded(text: str | None) -> bool:
    """Whether a number begins with zeros, as names do."""
    return text is not None and re.match(r"[+-]?0[0-9]", text) is not None
