"""Entries of columns that name a split or a group."""

from __future__ import annotations

import math

from eqssl.config.plain import shown
from eqssl.config.sources import SplitName
from eqssl.data.sources.files.split_names import split_of_value
from eqssl.data.sources.labels import LONGEST_NAME, is_text


def split_of(value: object, names: tuple[str, ...]) -> SplitName:
    """The split that an entry names.

    Args:
        value: the entry.
        names: names of the classes of the column, if its entries are numbers of classes.

    Raises:
        ValueError: it names none; the caller adds where.
    """
    told = _text(value)
    if names and isinstance(value, int) and 0 <= value < len(names):
        told = names[value]
    found = split_of_value(told) if told is not None else None
    if found is None:
        raise ValueError(
            f"given {shown(told)}, allowed: train, val (or valid, validation, dev) and test in every row; "
            "`split_column` names another column"
        )
    return found


def group_of(value: object) -> str | None:
    """The group that an entry names; None if it is empty.

    Raises:
        ValueError: it cannot be shown; the caller adds where.
    """
    told = _text(value)
    if told is not None and (not is_text(told) or len(told) > LONGEST_NAME):
        raise ValueError(
            f"has the group {told[:50]!r}, allowed: printable texts of at most {LONGEST_NAME} letters"
        )
    return told or None


def _text(value: object) -> str | None:
    """An entry as text. A number is the same whether or not its column has gaps, which make it a fraction."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if value.is_integer():
            value = int(value)
    return None if value is None else str(value)
