"""Labels of the rows of tables: all are looked at once, so that classes are known before images are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.labels import MOST_CLASSES, WITHOUT, Raw, class_indices, plain_label
from eqssl.data.sources.tables.columns import Table
from eqssl.data.sources.tables.types import is_binary, is_text_type, value_type

_ROWS = 65536
_FEW = 2
"""So few images may all have a class of their own."""


@dataclass(frozen=True)
class Labels:
    """Classes, and the class of each value.

    Attributes:
        classes: their names.
        index: value -> class.
        notes: sentences on what the values are, and on images without label.
    """

    classes: tuple[str, ...]
    index: Mapping[Raw, int]
    notes: tuple[str, ...]

    def of(self, value: object) -> int | None:
        """The class of a value; None if it means no label."""
        raw = plain_label(value)
        return None if raw is None else self.index[raw]


def read_labels(tables: Sequence[Table], column: str | None) -> Labels:
    """Look at all labels.

    Names of classes are those that the tables state; without such, the values that occur are the classes.

    Raises:
        ValueError: a value is no label, tables state different names, or each image has a class of its own;
            names table, column and row.
    """
    if column is None:
        return Labels((), {}, ())
    tables = [table for table in tables if column in table.schema.names]
    names = _names(tables, column)
    counts: Counter[Raw] = Counter()
    for table in tables:
        _count(table, column, names, counts)
    missing = counts.pop(None, 0)
    total = sum(table.count for table in tables)
    notes = [f"{missing} of {total} images have no label in the column {column!r}."] if missing else []
    if names:
        return Labels(names, _positions(names), tuple(notes)) if counts else Labels((), {}, tuple(notes))
    where = f"{tables[0].where}: column {column!r}"
    if len(counts) == total - missing > _FEW:
        raise ValueError(
            f"{where}: there are as many classes as images with a label ({len(counts)}), so that it holds no "
            f"classes; {WITHOUT}"
        )
    try:
        classes, (found,) = class_indices([counts])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    index = {value: label for value, label in zip(counts, found or (), strict=True) if label is not None}
    return Labels(classes, index, (*notes, *_numbers_noted(index)))


def _numbers_noted(index: Mapping[Raw, int]) -> Iterator[str]:
    numbers = sorted(value for value in index if isinstance(value, int))
    if numbers and numbers != list(range(len(numbers))):
        listed = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
        yield f"The labels are not 0, 1, 2 and so on but {listed}: these are the names of the classes."


def _names(tables: Sequence[Table], column: str) -> tuple[str, ...]:
    """Names of classes that all tables state."""
    first = tables[0].class_names(column)
    for table in tables[1:]:
        if table.class_names(column) != first:
            raise ValueError(f"{table.where}: names other classes than {tables[0].where}")
    if len(set(first)) < len(first):
        twice = sorted(name for name, count in Counter(first).items() if count > 1)
        raise ValueError(f"{tables[0].where}: names classes twice: {shown_names(twice)}")
    return first


def _positions(names: tuple[str, ...]) -> dict[Raw, int]:
    """A class is given by its number or by its name."""
    return {**{name: i for i, name in enumerate(names)}, **{i: i for i in range(len(names))}}


def _count(table: Table, column: str, names: tuple[str, ...], counts: Counter[Raw]) -> None:
    """Count the values of a table."""
    known = _positions(names) if names else None
    start = 0
    for batch in table.batches([column], _ROWS):
        values = _countable(batch.column(column))
        for pair in pc.value_counts(values):
            value = pair["values"].as_py()
            try:
                raw = plain_label(value)
                if known is not None and raw is not None and raw not in known:
                    raise ValueError(f"is {raw!r}, allowed: the {len(names)} classes that the file names")
            except ValueError as error:
                row = start + _first(values, value)
                raise ValueError(f"{table.where}: column {column!r}: row {row}: label {error}") from None
            counts[raw] += pair["counts"].as_py()
        start += batch.num_rows
        if len(counts) > MOST_CLASSES + 1:
            raise ValueError(
                f"{table.where}: column {column!r}: has more than {MOST_CLASSES} different labels; {WITHOUT}"
            )


def _countable(column: Any) -> Any:
    """The same values as a type that Arrow can count. Texts become bytes, since they may not be UTF-8."""
    kind = value_type(column.type)
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text_type(kind) or is_binary(kind):
        return column.cast(pa.large_binary())
    return column.cast(pa.float32()) if types.is_float16(kind) else column


def _first(column: Any, value: object) -> int:
    """The first row with a value."""
    return next((i for i, one in enumerate(column.to_pylist()) if one == value), 0)
