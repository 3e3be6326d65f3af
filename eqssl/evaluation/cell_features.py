"""The feature files of a cell, compared with each other and with the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from eqssl.config.plain import shown
from eqssl.config.sources import SplitName
from eqssl.data.shards.index import SPLITS
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.parquet import FeatureTable, read_features, read_info
from eqssl.machine.records import Record


@dataclass(frozen=True)
class CellFeatures:
    """Training and validation features of a cell. The test features are read when they are needed.

    Attributes:
        files: the feature file of each split.
        info: the metadata that all files share.
        train, val: the tables of features, without feature columns if there are fewer than two classes.
        evaluation: the record of the step that made them.
        stages: how many stages are probed, from the last one back.
    """

    files: dict[SplitName, Path]
    info: FeatureInfo
    train: FeatureTable
    val: FeatureTable
    evaluation: Record
    stages: int = 1

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.info.classes

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that probes are fitted on, the last stage first; none where no probe is."""
        return _needed(self.info, self.stages)

    @classmethod
    def load(cls, evaluation: Record, encoder: Record, stages: int = 1) -> Self:
        """Read train.parquet and val.parquet, and the metadata of test.parquet.

        Args:
            evaluation: equivariance.json, which lies beside the folder `features`.
            encoder: encoder.json.
            stages: how many stages to read, from the last one back.

        Raises:
            ValueError: a file is damaged, does not belong to the encoder or to the other files, is of
                another split, shares an image with another split, is empty, or has fewer stages; names file,
                key and reason.
            OSError: a file is missing.
        """
        files = {split: evaluation.file(f"features/{split}.parquet") for split in SPLITS}
        info = read_info(files["train"])
        for file in files.values():
            _check_info(file, read_info(file), info, encoder.values)
        if stages > len(info.orders):
            allowed = f"1 to {len(info.orders)}, the stages of {files['train']}"
            raise ValueError(f"probe.stages: given {stages}, allowed: {allowed}")
        columns = _needed(info, stages)
        train, val = (read_features(files[split], columns, split) for split in ("train", "val"))
        for table in (train, val):
            if not table.keys:
                raise ValueError(f"{table.path}: has no rows")
            _check_stored(table)
            check_images(table, evaluation)
        check_apart(train, val)
        return cls(files, info, train, val, evaluation, stages)

    def test(self) -> dict[str, FeatureTable]:
        """The test features of each view, `stored` first.

        Raises:
            ValueError: the file is damaged, or its views are not of the same images in the same order.
        """
        table = read_features(self.files["test"], self.columns, "test")
        views = {view: table.view(view) for view in dict.fromkeys(table.views.tolist())}
        if "stored" not in views:
            raise ValueError(f"{table.path}: column view: has no rows of view 'stored'")
        stored = views["stored"]
        check_images(stored, self.evaluation)
        for other in (self.train, self.val):
            check_apart(stored, other)
        for name, view in views.items():
            if view.keys != stored.keys or not np.array_equal(view.labels, stored.labels):
                raise ValueError(f"{table.path}: column key: view {name!r} is not of the images of 'stored'")
        return views


def _needed(info: FeatureInfo, stages: int) -> tuple[str, ...]:
    return tuple(info.widths)[: 2 * stages] if len(info.classes) > 1 else ()


def check_images(table: FeatureTable, evaluation: Record) -> None:
    """Refuse one view of a split that has an image twice, or another number of images than was recorded.

    Raises:
        ValueError: names the file, and the key or both numbers.
    """
    seen: set[str] = set()
    for key in table.keys:
        if key in seen:
            raise ValueError(f"{table.path}: column key: key {key!r} is there twice")
        seen.add(key)
    rows, split = evaluation.values.get("rows"), table.path.stem
    stated = rows.get(split) if isinstance(rows, dict) else None
    if stated != len(seen):
        raise ValueError(
            f"{table.path}: holds {len(seen)} images, {evaluation.path.name} states {shown(stated)}"
        )


def _check_stored(table: FeatureTable) -> None:
    """Check that training and validation images have the view `stored` alone."""
    others = np.flatnonzero(table.views != "stored")
    if len(others):
        view, key = table.views[others[0]], table.keys[others[0]]
        raise ValueError(f"{table.path}: column view: key {key!r} is of view {str(view)!r}, wanted: stored")


def check_apart(table: FeatureTable, other: FeatureTable) -> None:
    """Refuse two splits that share an image.

    Raises:
        ValueError: names both files and a key.
    """
    shared = min(set(table.keys) & set(other.keys), default=None)
    if shared is not None:
        raise ValueError(f"{table.path}: column key: key {shared!r} is in {other.path.name} too")


def _check_info(file: Path, info: FeatureInfo, first: FeatureInfo, encoder: Mapping[str, Any]) -> None:
    if info.encoder != encoder["weights_sha256"]:
        raise ValueError(
            f"{file}: metadata eqssl.encoder: made with weights {shown(info.encoder)}, "
            f"but encoder.json names {shown(encoder['weights_sha256'])}"
        )
    for name, value in vars(info).items():
        other = getattr(first, name)
        if value != other:
            raise ValueError(
                f"{file}: metadata eqssl.{name}: {shown(value)}, but train.parquet has {shown(other)}"
            )
