"""Tables with a column of images, whatever they are read from: Parquet files and splits of the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from eqssl.config.plain import shown
from eqssl.config.sources import HubSettings, ParquetSettings, SplitName
from eqssl.data.sources.base import EVERY, Sample
from eqssl.data.sources.labels import is_text
from eqssl.data.sources.tables.columns import Columns, Table, chosen_columns
from eqssl.data.sources.tables.images import ImageCells
from eqssl.data.sources.tables.labels import Labels, read_labels
from eqssl.data.sources.tables.values import group_of, split_of

_ROWS = 64  # read at a time: images can be large
_LONGEST_NAME = 1000


class TableImages:
    """The images of some tables, one row each.

    Attributes:
        classes: as in every source.
        notes: on columns and labels.

    Args:
        tables: in the order in which they are read; those of a split follow each other.
        settings: which columns hold what.
        top: folders that files which rows name must not leave.

    Raises:
        ValueError: a column is missing or of another type, or a label does not fit; names table and column.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        settings: ParquetSettings | HubSettings,
        top: tuple[Path, ...],
    ) -> None:
        self._tables, self._top = tables, top
        if not self.count():
            raise ValueError(f"{tables[0].where}: has no rows")
        self._columns, notes = chosen_columns(tables, settings)
        self._labels = read_labels(tables, self._columns.label)
        self.classes = self._labels.classes
        self.names_files = any(ImageCells.may_name_files(t, self._columns.image) for t in tables)
        self.notes = (*notes, *self._labels.notes)

    def count(self) -> int:
        """Number of rows."""
        return sum(table.count for table in self._tables)

    def samples(self) -> Iterator[Sample]:
        """The images in the order of tables and rows.

        Raises:
            ValueError: a row has no image, or what it says of it does not fit; names table, row and key.
            OSError: a file that a row names is a pipe or the like.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        numbers: Counter[SplitName | None] = Counter()
        for table in self._tables:
            row, first = 0, numbers.total()
            unread = partial(self._unread, wanted, first)
            for batch in table.batches(self._columns.all(table), _ROWS, unread):
                cells = _Cells(table, batch, self._columns, self._labels, self._top)
                for i in range(batch.num_rows):
                    split = cells.split(i, row)
                    yield cells.sample(i, row, split, numbers[split], first + row in wanted)
                    numbers[split] += 1
                    row += 1
            if row != table.count:
                raise ValueError(f"{table.where}: has {row} rows, it states {table.count}")

    def _unread(self, wanted: Container[int], first: int, start: int, stop: int) -> str | None:
        """The column of images, where none is wanted."""
        needed = any(first + number in wanted for number in range(start, stop))
        return None if needed else self._columns.image


class _Cells:
    """Some rows of a table."""

    def __init__(
        self, table: Table, batch: Any, columns: Columns, labels: Labels, top: tuple[Path, ...]
    ) -> None:
        self._table, self._columns, self._labels = table, columns, labels
        there = columns.all(table)
        # without the column where no image is wanted
        self._images: ImageCells | None = None
        if columns.image in batch.schema.names:
            self._images = ImageCells(batch.column(columns.image), table.folders, top)
        self._label = batch.column(columns.label) if columns.label in there else None
        self._split = batch.column(columns.split) if columns.split in there else None
        self._group = batch.column(columns.group) if columns.group in there else None
        self._split_names = table.class_names(columns.split) if columns.split else ()

    def split(self, i: int, row: int) -> SplitName | None:
        if self._split is None:
            return self._table.split
        with self._naming(f"row {row}: column {self._columns.split!r}"):
            return split_of(self._split[i].as_py(), self._split_names)

    def sample(self, i: int, row: int, split: SplitName | None, index: int, wanted: bool) -> Sample:
        key = f"{split or 'image'}-{index:08d}"
        with self._naming(f"row {row} ({key})"):
            content, path = self._images.read(i) if self._images and wanted else (b"", None)
            label = None if self._label is None else self._labels.of(self._label[i].as_py())
            group = None if self._group is None else group_of(self._group[i].as_py())
        told = path if path and is_text(path) and len(path) <= _LONGEST_NAME else None
        name = told or f"{self._table.name} row {row}"
        return Sample(key, content, label, split, index, group=group, name=name)

    @contextmanager
    def _naming(self, place: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, pa.ArrowException) as error:
            reason = shown(str(error))[1:-1] if "\n" in str(error) else error
            raise ValueError(f"{self._table.where}: {place}: {reason}") from None
