"""Invariant features of turned test images, of the few cells that the report shows in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from eqssl.data.shards.index import UNLABELLED
from eqssl.evaluation.parquet import iterate_features, read_info
from eqssl.evaluation.turned import FILE, Move, TurnedImages
from eqssl.machine.records import Record
from eqssl.report.cell_files import evaluation_of
from eqssl.report.cells import Cell

COLUMN, TEST = "invariant", "features/test.parquet"
MOST_IMAGES, MOST_POINTS = 500, 2000
"""Most images of a file of turned images that are read, and most images of another."""


@dataclass(frozen=True)
class Turned:
    """Features of some test images as one move after another left them.

    Attributes:
        keys: of the images.
        labels: class of each image; -1 for none.
        classes: names of the classes.
        moves: the moves, the identity first.
        parts: features of the images for each move.
    """

    keys: list[str]
    labels: Int[np.ndarray, " images"]
    classes: tuple[str, ...]
    moves: tuple[Move, ...]
    parts: tuple[Float[np.ndarray, "images width"], ...]

    def turns(self) -> list[int]:
        """The positions of turns among the moves: by all angles, or by quarter turns where there are none."""
        angles = [place for place, move in enumerate(self.moves) if move.view == "angle"]
        return angles or [place for place, move in enumerate(self.moves) if move.turn is not None]


def turned_features(cell: Cell) -> Turned | None:
    """The features of a cell; None if its feature files are not there or it has none.

    A cell without a file of turned images gives the images as stored, with the identity as the only move.

    Raises:
        ValueError: a file is damaged, or belongs to other metrics; names file and reason.
        OSError: a file cannot be read.
    """
    record = evaluation_of(cell)
    if record is None or TEST not in record.files or not (record.path.parent / TEST).is_file():
        return None
    if FILE in record.files and (record.path.parent / FILE).is_file():
        found = _of_turned(record)
        if found is not None:
            return found
    return _of_test(record.file(TEST))


def _of_turned(record: Record) -> Turned | None:
    info = read_info(record.path.parent / TEST)
    images = TurnedImages.load(record, info)
    if not images.keys:
        return None
    keys = images.keys[:MOST_IMAGES]
    parts = tuple(part.copy() for part in images.parts(COLUMN, len(keys)))
    return Turned(keys, _labels(images.path, len(keys)), info.classes, images.moves, parts)


def _of_test(path: Path) -> Turned | None:
    """The first test images as stored."""
    keys, labels, features = [], [], []
    for key, label, feature in islice(_stored(path), MOST_POINTS):
        keys.append(key)
        labels.append(label)
        features.append(feature)
    if not keys:
        return None
    return Turned(
        keys, np.array(labels), read_info(path).classes, (Move("grid", 0, 0.0),), (np.stack(features),)
    )


def _stored(path: Path) -> Iterator[tuple[str, int, Float[np.ndarray, " width"]]]:
    for batch in iterate_features(path, ["view", "label", COLUMN]):
        for row in np.flatnonzero(batch["view"] == "stored"):
            yield batch["key"][row], int(batch["label"][row]), batch[COLUMN][row].copy()


def _labels(path: Path, count: int) -> Int[np.ndarray, " images"]:
    found: list[int] = []
    for batch in iterate_features(path, ["label"]):
        found += batch["label"].tolist()
        if len(found) >= count:
            break
    return np.array([*found[:count], *[UNLABELLED] * (count - len(found))])
