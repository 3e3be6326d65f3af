"""Feature files: one row per image and view, each stage's features as fixed-size lists of float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from eqssl.data.shards.index import SPLITS, UNLABELLED
from eqssl.evaluation import VIEWS
from eqssl.evaluation.feature_columns import (
    ROW_GROUP,
    feature_array,
    feature_field,
    parquet_writer,
    rows_of_group,
)
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.machine.files import atomic


@dataclass(frozen=True)
class FeatureTable:
    """Rows of a feature file in memory.

    Attributes:
        path: the file.
        info: its metadata; None for features of other software.
        keys, views: key of the image and name of the view of each row.
        angles: degrees by which the image was turned (view `angle`), else 0.
        elements: position in D4 of the element that moved the image (view `grid`), else -1.
        labels: class of the image; -1 for none.
        features: one array (rows, width) per column that was asked for.
    """

    path: Path
    info: FeatureInfo | None
    keys: list[str]
    views: np.ndarray[Any, np.dtype[np.str_]]
    angles: Float[np.ndarray, " rows"]
    elements: Int[np.ndarray, " rows"]
    labels: Int[np.ndarray, " rows"]
    features: dict[str, Float[np.ndarray, "rows width"]]

    def view(self, name: str) -> FeatureTable:
        """The rows of one view, in their order."""
        return self.rows(np.flatnonzero(self.views == name))

    def labelled(self) -> FeatureTable:
        """The rows of images that have a label, in their order."""
        rows = np.flatnonzero(self.labels != UNLABELLED)
        return self if len(rows) == len(self.labels) else self.rows(rows)

    def rows(self, rows: Int[np.ndarray, " rows"]) -> FeatureTable:
        """Some of the rows."""
        return FeatureTable(
            path=self.path,
            info=self.info,
            keys=[self.keys[row] for row in rows],
            views=self.views[rows],
            angles=self.angles[rows],
            elements=self.elements[rows],
            labels=self.labels[rows],
            features={column: values[rows] for column, values in self.features.items()},
        )


def feature_schema(info: FeatureInfo) -> pa.Schema:
    """The columns of a feature file, in their order, with its metadata."""
    category = pa.dictionary(pa.int8(), pa.string())
    fields = [
        pa.field("key", pa.string(), nullable=False),
        pa.field("split", category, nullable=False),
        pa.field("view", category, nullable=False),
        pa.field("angle", pa.float32(), nullable=False),
        pa.field("element", pa.int8(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
    ]
    fields += [feature_field(name, width) for name, width in info.widths.items()]
    return pa.schema(fields, metadata=info.metadata())


@contextmanager
def feature_writer(path: str | Path, info: FeatureInfo) -> Iterator[FeatureWriter]:
    """Write a feature file batch by batch, with one row group in memory at a time.

    The file appears under its name when the block ends without an error, and not at all otherwise.
    """
    with (
        atomic(path) as temporary,
        parquet_writer(temporary, feature_schema(info), ["split", "view"]) as file,
    ):
        writer = FeatureWriter(Path(path), info, file)
        yield writer
        writer.finish()


class FeatureWriter:
    """Takes any number of rows at a time, and writes them in row groups; see `feature_writer`.

    A row group has 4,096 rows, or fewer if they had more than 32 MiB.
    """

    def __init__(self, path: Path, info: FeatureInfo, file: pq.ParquetWriter) -> None:
        self._path = path
        self._schema = feature_schema(info)
        self._file = file
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._group = rows_of_group(list(info.widths.values()))

    def write(
        self,
        split: str,
        view: str,
        keys: Sequence[str],
        labels: Int[np.ndarray, " rows"],
        features: dict[str, Float[np.ndarray, "rows width"]],
        angles: Float[np.ndarray, " rows"] | None = None,
        elements: Int[np.ndarray, " rows"] | None = None,
    ) -> None:
        """Append rows of one split and view.

        Raises:
            ValueError: names the file, the column and the key of the first number that is not finite.
        """
        count = len(keys)
        for column, values in features.items():
            check_finite(self._path, column, values, keys)
        columns = [
            pa.array(keys, pa.string()),
            _category(SPLITS, split, count),
            _category(VIEWS, view, count),
            pa.array(np.zeros(count) if angles is None else angles, pa.float32()),
            pa.array(np.full(count, -1) if elements is None else elements, pa.int8()),
            pa.array(labels, pa.int32()),
        ]
        for field in list(self._schema)[len(columns) :]:
            columns.append(feature_array(features[field.name], field))
        self._waiting.append(pa.record_batch(columns, schema=self._schema))
        self._rows += count
        if self._rows >= self._group:
            self._write(self._rows // self._group * self._group)

    def finish(self) -> None:
        """Write the rows that do not fill a row group."""
        if self._rows:
            self._write(self._rows)

    def _write(self, rows: int) -> None:
        table = pa.Table.from_batches(self._waiting)
        self._file.write_table(table.slice(0, rows), row_group_size=self._group)
        self._waiting = table.slice(rows).to_batches()
        self._rows -= rows


def _category(names: tuple[str, ...], name: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.full(count, names.index(name)), pa.int8()), list(names))


def read_info(path: str | Path) -> FeatureInfo:
    """The metadata of a feature file.

    Raises:
        ValueError: if it cannot be read, or its columns are not those that the metadata state.
        OSError: if there is no such file.
    """
    with _open(Path(path)) as file:
        return _checked_info(Path(path), file)


def iterate_features(path: str | Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read a feature file in bounded batches.

    Args:
        path: the file.
        columns: names of the columns to read, such as `label` and `invariant`.

    Yields:
        One dictionary per batch, column name -> array of the batch's rows (a list for `key`).

    Raises:
        ValueError: names the file, the column (and key) and the reason: unreadable, a missing column, a
            column of another type or width, a number that is not finite, a label out of range.
        OSError: if there is no such file.
    """
    path = Path(path)
    wanted = list(dict.fromkeys(["key", *columns]))
    with _open(path) as file:
        info = _checked_info(path, file)
        batches = file.iter_batches(batch_size=ROW_GROUP, columns=wanted)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{path}: damaged: {_first_line(error)}") from None
            if batch is None:
                return
            yield _checked_batch(path, info, batch)


def read_features(path: str | Path, columns: Sequence[str], split: str | None = None) -> FeatureTable:
    """Read the given feature columns of a file, and the columns that describe its rows.

    Each column goes into an array that is allocated for it at the start, so no column is in memory twice.

    Args:
        path: the file.
        columns: names of the feature columns.
        split: the split that every row must belong to; None for any.

    Raises:
        ValueError: as `iterate_features`, or if a row belongs to another split.
        OSError: as `iterate_features`.
    """
    path = Path(path)
    with _open(path) as file:
        info, rows = _checked_info(path, file), file.metadata.num_rows
    described = {
        "view": np.empty(rows, "U8"),
        "angle": np.empty(rows, np.float32),
        "element": np.empty(rows, np.int8),
        "label": np.empty(rows, np.int64),
    }
    features = {column: np.empty((rows, info.widths.get(column, 0)), np.float32) for column in columns}
    keys: list[str] = []
    for batch in iterate_features(path, ["split", *described, *columns]):
        _check_split(path, batch, split)
        part = slice(len(keys), len(keys) + len(batch["key"]))
        keys += batch["key"]
        for name, values in [*described.items(), *features.items()]:
            values[part] = batch[name]
    return FeatureTable(
        path=path,
        info=info,
        keys=keys,
        views=described["view"],
        angles=described["angle"],
        elements=described["element"],
        labels=described["label"],
        features=features,
    )


def _check_split(path: Path, batch: dict[str, Any], split: str | None) -> None:
    others = np.flatnonzero(batch["split"] != split)
    if split is not None and len(others):
        row = int(others[0])
        raise ValueError(
            f"{path}: column split: key {batch['key'][row]!r} is of split {str(batch['split'][row])!r}, "
            f"wanted: {split}"
        )


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # Arrow's buffers for what comes next would keep every row group until the file is closed
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole Parquet file: {_first_line(error)}") from None
    with file:
        yield file


def _checked_info(path: Path, file: pq.ParquetFile) -> FeatureInfo:
    """The metadata, after checking that the columns agree with it."""
    schema = file.schema_arrow
    info = FeatureInfo.from_metadata(schema.metadata, path)
    for field in feature_schema(info):
        count = schema.names.count(field.name)
        if count != 1:
            raise ValueError(f"{path}: column {field.name}: {'there twice' if count else 'missing'}")
        given = schema.field(field.name).type
        if given != field.type:
            raise ValueError(f"{path}: column {field.name}: is {given}, should be {field.type}")
    return info


def _checked_batch(path: Path, info: FeatureInfo, batch: pa.RecordBatch) -> dict[str, Any]:
    """Arrays of a batch, after checking that numbers are finite and that each label names a class."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            raise ValueError(f"{path}: column {name}: has empty cells")
    keys: list[str] = batch.column("key").to_pylist()
    values: dict[str, Any] = {"key": keys}
    for name in batch.schema.names:
        column = batch.column(name)
        if name in info.widths:
            values[name] = column.flatten().to_numpy().reshape(len(keys), info.widths[name])
            check_finite(path, name, values[name], keys)
        elif pa.types.is_dictionary(column.type):
            values[name] = np.array(column.dictionary.to_pylist(), "U8")[column.indices.to_numpy()]
        elif name != "key":
            values[name] = column.to_numpy()
    if "label" in values:
        _check_labels(path, values["label"], keys, len(info.classes))
    return values


def check_finite(
    path: Path, column: str, values: Float[np.ndarray, "rows width"], keys: Sequence[str]
) -> None:
    """Refuse numbers that are not finite.

    Raises:
        ValueError: names the file, the column and the first key that has one.
    """
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"{path}: column {column}: key {keys[row]!r} has a number that is not finite")


def _check_labels(path: Path, labels: Int[np.ndarray, " rows"], keys: Sequence[str], classes: int) -> None:
    wrong = np.flatnonzero((labels < UNLABELLED) | (labels >= classes))
    if len(wrong):
        row = int(wrong[0])
        allowed = f"0 to {classes - 1}, or {UNLABELLED} for none" if classes else f"{UNLABELLED} for none"
        raise ValueError(
            f"{path}: column label: key {keys[row]!r} has label {labels[row]}, allowed: {allowed}"
        )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
