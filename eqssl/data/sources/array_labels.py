"""Labels of arrays of any type as indices into classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

MOST_CLASSES = 65536
LONGEST_NAME = 200

Raw = int | float | str | None


def plain_values(values: np.ndarray) -> list[Raw]:
    """The entries of an array as texts and numbers. Bytes are texts in UTF-8, fractions .0 are whole numbers.

    None stands for entries that mean no label: -1, NaN and an empty text.

    Raises:
        ValueError: an entry is no label; the caller adds the file and the array.
    """
    return [_plain(value, row) for row, value in enumerate(values.tolist())]


def _plain(value: object, row: int) -> Raw:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"label {row} is not UTF-8") from None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if not value.is_integer():
            raise ValueError(f"label {row} is {value}, allowed: whole numbers and texts")
        value = int(value)
    if isinstance(value, int):
        return None if value == -1 else int(value)
    text = str(value)
    if not text.isprintable() or len(text) > LONGEST_NAME:
        raise ValueError(
            f"label {row} is {text[:50]!r}, allowed: printable texts of at most {LONGEST_NAME} letters"
        )
    return text or None


def class_indices(
    columns: Sequence[Iterable[Raw] | None],
) -> tuple[tuple[str, ...], list[list[int | None] | None]]:
    """Names of the classes, which are the values that occur, and each column as indices into them.

    Numbers are sorted as numbers and stand before texts.

    Raises:
        ValueError: there are too many values, or a number and a text have one name.
    """
    listed = [None if column is None else list(column) for column in columns]
    values = {value for column in listed if column is not None for value in column if value is not None}
    if len(values) > MOST_CLASSES:
        raise ValueError(f"has {len(values)} different labels, allowed: at most {MOST_CLASSES}")
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    names = tuple(map(str, ordered))
    if len(set(names)) < len(names):
        raise ValueError("has labels that are numbers and labels that are texts of the same digits")
    index = {value: i for i, value in enumerate(ordered)}
    return names, [
        None if column is None else [None if value is None else index[value] for value in column]
        for column in listed
    ]
