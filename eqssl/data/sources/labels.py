"""Labels of any type as indices into classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

MOST_CLASSES = 65536
LONGEST_NAME = 200
WITHOUT = "`labelled: false` takes the images without labels"
"""A hint for messages."""

Raw = int | float | str | None


def plain_values(values: np.ndarray) -> list[Raw]:
    """The entries of an array as texts and numbers, each as `plain_label` gives it.

    Raises:
        ValueError: an entry is no label; the caller adds the file and the array.
    """
    return [_plain(value, row) for row, value in enumerate(values.tolist())]


def plain_label(value: object) -> Raw:
    """A label as a text or a number. Bytes are texts in UTF-8, fractions .0 are whole numbers.

    None stands for no label: that is None, -1, NaN and an empty text.

    Raises:
        ValueError: it is no label; the message continues "label 7 ..." or "row 7: label ...".
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | np.floating):
        return _number(float(value))
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None
    text = "" if value is None else str(value)
    if not is_text(text) or len(text) > LONGEST_NAME:
        raise ValueError(
            f"is {text[:50]!r}, allowed: printable texts of at most {LONGEST_NAME} letters; {WITHOUT}"
        )
    return text or None


def _number(value: float) -> Raw:
    if math.isnan(value) or value == -1:
        return None
    if not float(value).is_integer():
        raise ValueError(f"is {value}, allowed: whole numbers and texts; {WITHOUT}")
    if value < -1:
        raise ValueError(f"is {value}, allowed: whole numbers from 0, -1 for no label, and texts; {WITHOUT}")
    return int(value)


def is_text(name: str) -> bool:
    """Whether a name can be shown, and written as UTF-8."""
    return name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)


def _plain(value: object, row: int) -> Raw:
    try:
        return plain_label(value)
    except ValueError as error:
        raise ValueError(f"label {row} {error}") from None


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
        raise ValueError(f"has {len(values)} different labels, allowed: at most {MOST_CLASSES}; {WITHOUT}")
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    names = tuple(map(str, ordered))
    if len(set(names)) < len(names):
        raise ValueError("has labels that are numbers and labels that are texts of the same digits")
    index = {value: i for i, value in enumerate(ordered)}
    return names, [
        None if column is None else [None if value is None else index[value] for value in column]
        for column in listed
    ]
