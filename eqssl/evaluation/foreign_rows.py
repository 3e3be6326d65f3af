"""What the rows of Parquet files of other software are: keys, splits, views, labels, angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from eqssl.config.plain import shown
from eqssl.data.shards.index import SPLITS
from eqssl.evaluation import VIEWS
from eqssl.evaluation.foreign_columns import ForeignFile, refuse

Label: TypeAlias = int | str | None
"""A class as the file has it; None for no label."""


@dataclass(frozen=True)
class ForeignRows:
    """All rows of a file but their features.

    Attributes:
        file: the file.
        keys: of the images.
        splits: of the images; None where the file does not say.
        views: of the images; `stored` where the file does not say.
        labels: of the images.
        angles: degrees by which images were turned; not a number where the file does not say.
    """

    file: ForeignFile
    keys: list[str]
    splits: list[str] | None
    views: list[str]
    labels: list[Label]
    angles: Float[np.ndarray, " rows"]

    @classmethod
    def read(cls, file: ForeignFile) -> ForeignRows:
        """Read and check them.

        Raises:
            ValueError: a column is missing, of another type, or has a value that is not allowed; names file,
                column and key.
        """
        keys = [str(key) for key in _texts_or_numbers(file, "key")]
        splits = _named(file, "split", SPLITS, keys) if "split" in file.names else None
        views = _named(file, "view", VIEWS, keys) if "view" in file.names else ["stored"] * file.rows
        labels = _labels(file, keys)
        return cls(file, keys, splits, views, labels, _angles(file, keys))


def _texts_or_numbers(file: ForeignFile, name: str, gaps: bool = False) -> list[int | str | None]:
    values = file.values(name)
    kind = values.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not text and not pa.types.is_integer(kind):
        refuse(file.path, name, f"is {kind}, should be texts or whole numbers")
    if values.null_count and not gaps:
        refuse(file.path, name, "has empty cells")
    found: list[int | str | None] = values.to_pylist()
    return found


def _named(file: ForeignFile, name: str, allowed: Sequence[str], keys: Sequence[str]) -> list[str]:
    found = [str(value) for value in _texts_or_numbers(file, name)]
    for key, value in zip(keys, found, strict=True):
        if value not in allowed:
            refuse(file.path, name, f"key {key!r} has {shown(value)}, allowed: {', '.join(allowed)}")
    return found


def _labels(file: ForeignFile, keys: Sequence[str]) -> list[Label]:
    """Labels; -1, as in our own files, and an empty cell or text stand for none."""
    labels: list[Label] = []
    for key, value in zip(keys, _texts_or_numbers(file, "label", gaps=True), strict=True):
        if isinstance(value, int) and value < -1:
            refuse(file.path, "label", f"key {key!r} has {value}, allowed: 0 or more, or -1 for none")
        labels.append(None if value in (-1, "") else value)
    return labels


def _angles(file: ForeignFile, keys: Sequence[str]) -> Float[np.ndarray, " rows"]:
    if "angle" not in file.names:
        return np.full(file.rows, np.nan, np.float32)
    values = file.values("angle")
    if not pa.types.is_floating(values.type) and not pa.types.is_integer(values.type):
        refuse(file.path, "angle", f"is {values.type}, should be degrees")
    angles = values.to_numpy().astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(angles) | (np.abs(angles) > 360))
    if len(wrong):
        row = int(wrong[0])
        refuse(file.path, "angle", f"key {keys[row]!r} has {angles[row]}, allowed: -360 to 360 degrees")
    return angles % np.float32(360)
