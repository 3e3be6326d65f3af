"""The table of a manifest: a CSV or a Parquet file, read row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from eqssl.config.regular_files import check_regular, open_regular
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.tables.parquet_file import ParquetFile
from eqssl.data.sources.tables.types import is_value
from eqssl.machine.csv_rows import csv_rows

MOST_BYTES = 2**30
"""Of a CSV file; a million rows need a tenth."""
_HEADER = 2**16
_ROWS = 4096  # of a Parquet file, read at a time


class ManifestTable(Protocol):
    """A table with named columns.

    Attributes:
        columns: their names.
    """

    columns: tuple[str, ...]

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        """Number of each row, and its entries in these columns; None for empty ones.

        Raises:
            ValueError: the file is damaged, or a row has another length; names file and row.
        """
        ...

    def place(self, number: int) -> str:
        """Where a row is, for messages."""
        ...

    def class_names(self, column: str) -> tuple[str, ...]:
        """Names that numbers in a column stand for; none if the file states none."""
        ...


def open_table(path: Path, below: Path) -> ManifestTable:
    """Open a manifest.

    Args:
        path: the file.
        below: the folder of the images, for a hint.

    Raises:
        ValueError: it is neither CSV nor Parquet, has no rows or is too large; names it.
        OSError: it is missing, or a pipe or the like; names it.
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        hint = f"; did you mean {below / path}?" if (below / path).is_file() else ""
        raise ValueError(f"manifest: {path}: is not there{hint}") from None
    check_regular(path, state.st_mode)
    with open_regular(path) as file:
        start = file.read(4)
    if start == b"PAR1":
        return _Parquet(path)
    if state.st_size > MOST_BYTES:
        raise ValueError(f"{path}: has {state.st_size} bytes, allowed: at most {MOST_BYTES} for a CSV file")
    return _Csv(path)


class _Csv:
    """Rows are numbered by their lines. Blanks around entries do not count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._delimiter = self._guessed_delimiter()
        with csv_rows(path, self._delimiter, "utf-8-sig") as reader:
            given = reader.fieldnames or ()
        self._names = {name.strip(): name for name in given}
        self.columns = tuple(self._names)
        if len(given) > len(self.columns):
            raise ValueError(f"{path}: the first line has columns that differ in blanks alone")
        if not self.columns:
            raise ValueError(f"{path}: is empty, allowed: a CSV file whose first line names the columns")

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        names = [self._names[column] for column in columns]
        with csv_rows(self._path, self._delimiter, "utf-8-sig") as reader:
            for row in reader:
                entries: list[str | None] = [row[name] for name in names]
                values = list(row.values())
                if None in row or None in values:
                    self._refuse_length(reader.line_num, values)
                yield reader.line_num, [entry.strip() or None if entry else None for entry in entries]

    def place(self, number: int) -> str:
        return f"{self._path}: line {number}"

    def class_names(self, column: str) -> tuple[str, ...]:
        return ()

    def _guessed_delimiter(self) -> str:
        """What is between two columns in the first line. A comma, if nothing is."""
        with open_regular(self._path) as file:
            header = file.readline(_HEADER).decode("utf-8-sig", errors="replace")
        try:
            return max(",;\t", key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), ())))
        except csv.Error:
            return ","

    def _refuse_length(self, line: int, values: Sequence[Any]) -> None:
        more = sum(len(value) for value in values if isinstance(value, list))
        found = sum(isinstance(value, str) for value in values) + more
        raise ValueError(
            f"{self.place(line)}: has {found} entries, but the first line has {len(self._names)}"
        )


class _Parquet:
    """Rows are numbered from 0."""

    def __init__(self, path: Path) -> None:
        self._file = ParquetFile(path, path.name, None, ())
        self.columns = tuple(self._file.schema.names)
        if twice := {name for name in self.columns if self.columns.count(name) > 1}:
            raise ValueError(f"{path}: has columns twice: {shown_names(twice)}")

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        for column in columns:
            kind = self._file.schema.field(column).type
            if not is_value(kind):
                raise ValueError(
                    f"{self._file.where}: column {column!r} is {kind}, allowed: texts and numbers"
                )
        number = 0
        for batch in self._file.batches(columns, _ROWS):
            for entries in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
                yield number, [None if entry == "" else entry for entry in entries]
                number += 1

    def place(self, number: int) -> str:
        return f"{self._file.where}: row {number}"

    def class_names(self, column: str) -> tuple[str, ...]:
        return self._file.class_names(column)
