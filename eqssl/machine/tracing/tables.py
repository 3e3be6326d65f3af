"""Reading values of sealed records, which may be of any kind: a seal does not say what it should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def section(values: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The table below keys, or an empty one.

    Example:
        >>> section({"a": {"b": {"c": 1}}}, "a", "b")
        {'c': 1}
    """
    inner: Any = values
    for key in keys:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def size_of(value: Any) -> int | None:
    """How many entries a list has; None if it is no list."""
    return len(value) if isinstance(value, list) else None
