"""One Parquet file, read a few rows at a time, however large its footer and its pages say they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from eqssl.config.plain import shown
from eqssl.config.regular_files import open_regular
from eqssl.config.sources import SplitName
from eqssl.data.sources.labels import is_text
from eqssl.data.sources.tables.columns import Unread
from eqssl.data.sources.tables.parquet_pages import largest_page

MOST_ROWS = 10**8
"""Most rows of a file."""
MOST_PAGE = 10**8
"""Most bytes of a page after it is expanded. Writers make pages of about one megabyte, or of one image."""
_MOST_BATCH = 2**28  # bytes: a dictionary can repeat one large value in every row
_LONGEST_NAME = 1000


class ParquetFile:
    """A Parquet file as a table of images; see `eqssl.data.sources.tables.Table`.

    Args:
        path: of the file.
        name: its path below the folder of the data set.
        split: the split of its rows; None if they have none.
        folders: where files are looked for that its rows name.

    Raises:
        ValueError: it is damaged or states too many rows; names the file.
    """

    def __init__(self, path: Path, name: str, split: SplitName | None, folders: tuple[Path, ...]) -> None:
        self.where, self.name, self.split, self.folders = str(path), name, split, folders
        self._path = path
        with _reading(path), pq.ParquetFile(path) as parquet:
            self.schema: Any = parquet.schema_arrow
            self.count = int(parquet.metadata.num_rows)
        if not 0 <= self.count <= MOST_ROWS:
            raise ValueError(f"{path}: states {self.count} rows, allowed: at most {MOST_ROWS}")
        self._features = self._read_features()

    def batches(self, columns: Sequence[str], rows: int, unread: Unread | None = None) -> Iterator[Any]:
        """Up to `rows` rows at a time; fewer if a page is so large that they might not fit into memory.

        Raises:
            ValueError: the file is damaged, or a page is too large; names file and column.
        """
        with _reading(self._path), open_regular(self._path) as pages, pq.ParquetFile(self._path) as parquet:
            start = 0
            for group in range(parquet.num_row_groups):
                stop = start + parquet.metadata.row_group(group).num_rows
                without = unread(start, stop) if unread else None
                taken = [name for name in columns if name != without]
                start = stop
                largest = 1  # of the pages that may hold one value that a dictionary repeats
                for chunk in _chunks(parquet.metadata.row_group(group), taken):
                    size = _checked_page(self._path, pages, chunk, group)
                    largest = max(largest, size if chunk.physical_type == "BYTE_ARRAY" else 1)
                fit = max(1, min(rows, _MOST_BATCH // largest))
                yield from parquet.iter_batches(fit, row_groups=[group], columns=taken)

    def kind(self, column: str) -> str | None:
        """The type that Hugging Face's metadata state for a column, such as Image."""
        feature = self._features.get(column)
        kind = feature.get("_type") if isinstance(feature, dict) else None
        return kind if isinstance(kind, str) else None

    def class_names(self, column: str) -> tuple[str, ...]:
        """Names of classes in Hugging Face's metadata; none if there are no such metadata.

        Raises:
            ValueError: a name cannot be shown; names the file.
        """
        feature = self._features.get(column)
        names = feature.get("names") if isinstance(feature, dict) else None
        if not isinstance(names, list):
            return ()
        for name in names:
            if not isinstance(name, str | int) or len(str(name)) > _LONGEST_NAME or not is_text(str(name)):
                raise ValueError(f"{self.where}: names a class {shown(name)}, allowed: printable letters")
        return tuple(map(str, names))

    def _read_features(self) -> dict[str, Any]:
        try:
            features = json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {}
        return features if isinstance(features, dict) else {}


def _chunks(group: Any, columns: Sequence[str]) -> list[Any]:
    """Arrow's metadata of some columns, and of everything inside them, in one group of rows."""
    chunks = [group.column(number) for number in range(group.num_columns)]
    places = tuple(f"{column}." for column in columns)
    return [chunk for chunk in chunks if f"{chunk.path_in_schema}.".startswith(places)]


def _checked_page(file: Path, pages: BinaryIO, chunk: Any, group: int) -> int:
    """Bytes of a column's largest page after it is expanded; an error if there are too many."""
    where = f"row group {group}: column {chunk.path_in_schema!r}"
    try:
        size = largest_page(pages, chunk)
    except ValueError as error:
        raise pa.ArrowInvalid(f"{where}: {error}") from None
    if size > MOST_PAGE:
        raise ValueError(f"{file}: {where}: a page expands to {size} bytes, allowed: at most {MOST_PAGE}")
    return size


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raise pyarrow's errors as one line that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file}: cannot be read as Parquet: {reason}") from None
