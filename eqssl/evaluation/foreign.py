"""Features of other software, as Parquet files without our metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from eqssl.config.sources import SplitName
from eqssl.data.shards.index import SPLIT_WORDS, SPLITS, UNLABELLED
from eqssl.data.shards.splits import validation_part
from eqssl.evaluation import VIEWS
from eqssl.evaluation.foreign_columns import ForeignFile, refuse
from eqssl.evaluation.foreign_rows import ForeignRows, Label
from eqssl.evaluation.parquet import FeatureTable

VALIDATION = 0.1
"""Share of each class's training images that becomes the validation split if there is none."""


@dataclass(frozen=True)
class _Part:
    """The rows of a split in its file, ascending."""

    rows: ForeignRows
    taken: Int[np.ndarray, " taken"]

    @property
    def keys(self) -> list[str]:
        return [self.rows.keys[row] for row in self.taken]

    @property
    def labels(self) -> list[Label]:
        return [self.rows.labels[row] for row in self.taken]

    @property
    def views(self) -> list[str]:
        return [self.rows.views[row] for row in self.taken]


@dataclass(frozen=True)
class ForeignFeatures:
    """Labelled features of other software. The test features are read when they are needed.

    Attributes:
        columns: `invariant`, and `regular` if every file has it.
        classes: names of the classes, from the labels of all splits, in their order.
        train, val: the tables of features.
        validation_from_train: whether `val` was cut from the training images.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    train: FeatureTable
    val: FeatureTable
    validation_from_train: bool
    _test: _Part
    _numbers: Mapping[Label, int]

    @classmethod
    def load(cls, files: Mapping[SplitName, Path] | Path) -> ForeignFeatures:
        """Read training and validation features, and what is said of the test images.

        Args:
            files: a file for each split, of which `val` may be left out; or one file with a column `split`.

        Raises:
            ValueError: a column is missing or wrong, splits share an image, or files do not fit together;
                names file, column and reason.
            OSError: a file is missing.
        """
        parts = _parts(files)
        cut = "val" not in parts
        if cut:
            parts |= _cut(parts["train"])
        for split in ("train", "val"):
            _check_stored(parts[split], split)
        _check_keys(parts)
        numbers = _classes(parts)
        columns = tuple(
            column
            for column in ("invariant", "regular")
            if all(column in part.rows.file.features for part in parts.values())
        )
        train, val = (_table(parts[split], columns, numbers) for split in ("train", "val"))
        _check_widths(train, val)
        names = tuple(str(label) for label in numbers)
        return cls(columns, names, train, val, cut, parts["test"], numbers)

    @property
    def test_labels(self) -> Int[np.ndarray, " images"]:
        """The labels of the test images, -1 for none; their features need not be read."""
        both = zip(self._test.labels, self._test.views, strict=True)
        return np.array([self._numbers.get(label, UNLABELLED) for label, view in both if view == "stored"])

    def test(self) -> dict[str, FeatureTable]:
        """The test features of each view, `stored` first, with the images in the order of `stored`.

        Raises:
            ValueError: a damaged file, or views that are not of the same images.
        """
        path = self._test.rows.file.path
        table = _table(self._test, self.columns, self._numbers)
        _check_widths(self.train, table)
        views = {name: table.view(name) for name in VIEWS if (table.views == name).any()}
        stored = views["stored"]
        for name, view in views.items():
            if Counter(view.keys) != Counter(stored.keys):
                refuse(path, "key", f"view {name!r} is not of the images of 'stored'")
            place = {key: row for row, key in enumerate(view.keys)}
            views[name] = view.rows(np.array([place[key] for key in stored.keys]))
            if not np.array_equal(views[name].labels, stored.labels):
                refuse(path, "label", f"view {name!r} has other labels than 'stored'")
        return views


def _parts(files: Mapping[SplitName, Path] | Path) -> dict[SplitName, _Part]:
    """The rows of each split."""
    if isinstance(files, Path):
        rows = ForeignRows.read(ForeignFile.open(files))
        if rows.splits is None:
            refuse(files, "split", "missing; without it, give a file for each split")
        given = np.array(rows.splits)
        parts = {split: _Part(rows, np.flatnonzero(given == split)) for split in SPLITS}
        for split in ("train", "test"):
            if not len(parts[split].taken):
                refuse(files, "split", f"has no {SPLIT_WORDS[split]} image ({split!r})")
        return {split: part for split, part in parts.items() if len(part.taken)}
    found: dict[SplitName, _Part] = {}
    for split, path in files.items():
        rows = ForeignRows.read(ForeignFile.open(path))
        for key, other in zip(rows.keys, rows.splits or (), strict=False):
            if other != split:
                refuse(path, "split", f"key {key!r} is of split {other!r}, wanted: {split}")
        found[split] = _Part(rows, np.arange(len(rows.keys)))
    return found


def _cut(train: _Part) -> dict[SplitName, _Part]:
    """Training and validation images: a tenth of each class, by the SHA-256 of their keys, as for shards."""
    chosen = validation_part(train.keys, _ranks(train.labels), VALIDATION)
    held = np.array([row in chosen for row in range(len(train.taken))])
    if not held.any():
        path = train.rows.file.path
        raise ValueError(
            f"{path}: too few training images to cut validation images from: give a file of them"
        )
    return {
        "train": _Part(train.rows, train.taken[~held]),
        "val": _Part(train.rows, train.taken[held]),
    }


def _ranks(labels: Sequence[Label]) -> list[int]:
    """The same number for the same label."""
    numbers: dict[Label, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def _classes(parts: Mapping[SplitName, _Part]) -> dict[Label, int]:
    """Number of each label of any split."""
    first: tuple[type, Path] | None = None
    found: set[Label] = set()
    for part in parts.values():
        labels = {label for label in part.labels if label is not None}
        for kind in {type(label) for label in labels}:
            path = part.rows.file.path
            if first is not None and kind is not first[0]:
                words = {int: "whole numbers", str: "texts"}
                refuse(path, "label", f"has {words[kind]}, but {first[1].name} has {words[first[0]]}")
            first = first or (kind, path)
        found |= labels
    return {label: number for number, label in enumerate(sorted(found))}  # type: ignore[type-var]


def _check_stored(part: _Part, split: SplitName) -> None:
    for key, view in zip(part.keys, part.views, strict=True):
        if view != "stored":
            words = SPLIT_WORDS[split]
            refuse(part.rows.file.path, "view", f"{words} key {key!r} is of view {view!r}, wanted: stored")


def _check_keys(parts: Mapping[SplitName, _Part]) -> None:
    """Refuse an image that is twice in a split (and view), or in two splits."""
    seen: dict[str, SplitName] = {}
    for split, part in parts.items():
        path, own = part.rows.file.path, set()
        for key, view in zip(part.keys, part.views, strict=True):
            if seen.get(key, split) != split:
                refuse(path, "key", f"key {key!r} is in the splits {seen[key]} and {split}")
            if (key, view) in own:
                refuse(path, "key", f"key {key!r} is there twice")
            seen[key] = split
            own.add((key, view))
    if "stored" not in parts["test"].views:
        refuse(parts["test"].rows.file.path, "view", "has no test images of view 'stored'")


def _check_widths(first: FeatureTable, other: FeatureTable) -> None:
    for column, values in other.features.items():
        width, wanted = values.shape[1], first.features[column].shape[1]
        if width != wanted:
            refuse(other.path, column, f"has {width} numbers, but {first.path.name} has {wanted}")


def _table(part: _Part, columns: Sequence[str], numbers: Mapping[Label, int]) -> FeatureTable:
    rows = part.rows
    return FeatureTable(
        path=rows.file.path,
        info=None,
        keys=part.keys,
        views=np.array(part.views, "U8"),
        angles=rows.angles[part.taken],
        elements=np.full(len(part.taken), -1, np.int8),
        labels=np.array([numbers.get(label, UNLABELLED) for label in part.labels], np.int64),
        features={column: rows.file.read(column, part.taken, rows.keys) for column in columns},
    )
