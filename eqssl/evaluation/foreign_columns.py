"""Columns of Parquet files that other software wrote: which hold features, and their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from eqssl.config.plain import shown
from eqssl.evaluation.feature_columns import ROW_GROUP
from eqssl.evaluation.parquet import check_finite
from eqssl.machine.live.progress import track

FEATURES = ("invariant", "regular")
"""Names of columns that hold a list of numbers in each row."""
_NUMBERED = re.compile(r"(.*?)(\d+)")
_WANTED = "invariant, a list of floats in each row, or numbered columns of floats such as f0, f1, f2"


@dataclass(frozen=True)
class ForeignFile:
    """A Parquet file without our metadata.

    Attributes:
        path: the file.
        rows: number of its rows.
        names: names of its columns.
        features: feature column -> the columns of the file that hold it: one of lists, or numbered ones.
    """

    path: Path
    rows: int
    names: tuple[str, ...]
    features: dict[str, tuple[str, ...]]

    @classmethod
    def open(cls, path: Path) -> ForeignFile:
        """Look at the columns.

        Raises:
            ValueError: no Parquet file, or no feature column; names file, column and reason.
            OSError: there is no such file.
        """
        with opened(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            refuse(path, twice, "there twice")
        if not rows:
            raise ValueError(f"{path}: has no rows")
        return cls(path, rows, tuple(schema.names), _features(path, schema))

    def values(self, column: str) -> pa.ChunkedArray:
        """A column that is no feature.

        Raises:
            ValueError: it is missing or damaged; names the file and the column.
        """
        if column not in self.names:
            refuse(self.path, column, "missing")
        with opened(self.path) as file, _undamaged(self.path):
            values = file.read(columns=[column]).column(0)
        return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values

    def read(
        self, column: str, rows: Int[np.ndarray, " wanted"], keys: Sequence[str]
    ) -> Float[np.ndarray, "wanted width"]:
        """A feature column of some rows, in bounded batches.

        Args:
            column: a key of `features`.
            rows: positions, ascending.
            keys: keys of all rows, for messages.

        Raises:
            ValueError: a gap, a number that is not finite, or rows of different lengths; names file, column
                and key.
        """
        names = self.features[column]
        found: Float[np.ndarray, "wanted width"] | None = None
        first = 0
        with opened(self.path) as file:
            batches = file.iter_batches(batch_size=ROW_GROUP, columns=list(names))
            total = -(-self.rows // ROW_GROUP)
            for batch in track(_whole(self.path, batches), total, f"reading {self.path.name}"):
                part = slice(*np.searchsorted(rows, [first, first + len(batch)]))
                numbers = self._numbers(names, batch, keys[first : first + len(batch)], found)
                if found is None:
                    found = np.empty((len(rows), numbers.shape[1]), np.float32)
                found[part] = numbers[rows[part] - first]
                first += len(batch)
        if found is None:
            raise ValueError(f"{self.path}: has no rows")
        return found

    def _numbers(
        self,
        names: Sequence[str],
        batch: pa.RecordBatch,
        keys: Sequence[str],
        found: Float[np.ndarray, "wanted width"] | None,
    ) -> Float[np.ndarray, "rows width"]:
        """The features of a batch, all of one width, that of the rows before."""
        for name, values in zip(names, batch.columns, strict=True):
            if values.null_count:
                refuse(self.path, name, f"key {keys[_first(values.is_null())]!r} has no value")
        if pa.types.is_floating(batch.schema.field(0).type):
            numbers = np.stack([column.to_numpy().astype(np.float32) for column in batch.columns], axis=1)
            for position, name in enumerate(names):
                check_finite(self.path, name, numbers[:, position : position + 1], keys)
            return numbers
        (lists,) = batch.columns
        lengths = lists.value_lengths().to_numpy()
        width = int(lengths[0]) if found is None else found.shape[1]
        if (lengths != width).any() or not width:
            row = int(np.flatnonzero(lengths != width)[0]) if width else 0
            refuse(self.path, names[0], f"key {keys[row]!r} has {lengths[row]} numbers, wanted: {width or 1}")
        flat = lists.flatten()
        if flat.null_count:
            refuse(self.path, names[0], f"key {keys[_first(flat.is_null()) // width]!r} has an empty number")
        with np.errstate(over="ignore"):  # what is too large for float32 is found next
            numbers = flat.to_numpy().astype(np.float32).reshape(len(keys), width)
        check_finite(self.path, names[0], numbers, keys)
        return numbers


def _features(path: Path, schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in FEATURES:
        if name in schema.names:
            kind = schema.field(name).type
            kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
            if not any(is_one(kind) for is_one in kinds) or not pa.types.is_floating(kind.value_type):
                refuse(path, name, f"is {kind}, should be a list of floats")
            found[name] = (name,)
    if "invariant" in found:
        return found
    floats = [field.name for field in schema if pa.types.is_floating(field.type) and field.name != "angle"]
    matches = [(match[1], int(match[2]), name) for name in floats if (match := _NUMBERED.fullmatch(name))]
    if not matches:
        raise ValueError(f"{path}: no column of features: wanted: {_WANTED}")
    prefixes = list(dict.fromkeys(prefix for prefix, _, _ in matches))
    if len(prefixes) > 1:
        refuse(path, matches[0][2], f"numbered columns begin with {shown(prefixes)}, wanted: one beginning")
    numbers = sorted((number, name) for _, number, name in matches)
    for wanted, (number, name) in enumerate(numbers, numbers[0][0] if numbers[0][0] < 2 else 0):
        if number != wanted:
            refuse(path, f"{prefixes[0]}{wanted}", f"missing before {name}")
    return {"invariant": tuple(name for _, name in numbers), **found}


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; its page checksums are verified where it has them."""
    with _undamaged(path):
        # Arrow's buffers for what comes next would keep every row group until the file is closed
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    with file:
        yield file


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole Parquet file: {str(error).splitlines()[0]}") from None


def _whole(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with _undamaged(path):
        yield from batches


def _first(flags: pa.BooleanArray) -> int:
    return int(np.flatnonzero(flags.to_numpy(zero_copy_only=False))[0])


def refuse(path: Path, column: str, reason: str) -> NoReturn:
    """Raise the ValueError about a column."""
    raise ValueError(f"{path}: column {column}: {reason}")
