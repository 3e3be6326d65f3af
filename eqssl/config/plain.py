"""Plain values as YAML and JSON give them, with bounds on their number, depth, length and types."""

from __future__ import annotations

import datetime
import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

MOST_ENTRIES = 100_000
"""Most entries of all lists and tables of settings together. A shared entry counts at each of its places."""
DEEPEST = 40
"""Most levels of nested lists and tables."""
LONGEST = 10_000
"""Most characters of one value or key."""

_SCALARS = (bool, int, float, str, type(None), datetime.date)


def check_plain(values: object, where: str = "") -> None:
    """Refuse settings that are too many or too deep, or hold values that JSON does not have.

    The check does not recurse and takes at most `MOST_ENTRIES` steps. YAML's aliases share an object among
    many places, so a small file can stand for a billion entries.

    Args:
        values: lists, tables and scalars.
        where: prefix of the keys in a message.

    Raises:
        ValueError: names the key and the reason.
    """
    waiting: list[tuple[tuple[str, ...], object]] = [((), values)]
    entries = 0
    while waiting:
        path, value = waiting.pop()
        entries += 1
        reason = f"more than {MOST_ENTRIES} entries" if entries > MOST_ENTRIES else _misfit(value)
        if reason is None and len(path) > DEEPEST:
            reason = f"more than {DEEPEST} levels of lists and tables inside each other"
        if reason is not None:
            key = () if entries > MOST_ENTRIES else path[:6]
            name = ".".join([where, *key] if where else key) or "settings"
            raise ValueError(f"{name}: {reason}")
        waiting.extend(((*path, key), inner) for key, inner in _inside(value))


def parse_json(text: str, where: str) -> Any:
    """Plain values from JSON text. A key that occurs twice in a table is refused.

    Raises:
        ValueError: not JSON, or not plain within the bounds of `check_plain`; names `where` and the reason.
    """
    if not text.strip():
        raise ValueError(f"{where}: not JSON: it is empty")
    try:
        values = json.loads(text, object_pairs_hook=_table, parse_constant=refuse_constant, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"{where}: not JSON within bounds: too many levels inside each other") from None
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from None
    check_plain(values, where)
    return values


def shown(value: object) -> str:
    """A value as short text on one line, for a message."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text)} letters)"


def counted(number: int, thing: str) -> str:
    """A number and what it counts: `1 image`, `2,000 images`, `3 classes`."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def _misfit(value: object) -> str | None:
    """Why this is not a plain value; None if it is. Values inside it are not checked."""
    if isinstance(value, Mapping):
        reasons = (_misfit_of_key(key) for key in value)
        return next((reason for reason in reasons if reason), None)
    if isinstance(value, list | tuple):
        return None
    if not isinstance(value, _SCALARS):
        return f"given {type(value).__name__} {shown(value)}, allowed: lists, tables, texts and numbers"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"given a number of about {value.bit_length() * 3 // 10} digits, allowed: at most 77"
    return _misfit_of_text(value) if isinstance(value, str) else None


def _misfit_of_key(key: object) -> str | None:
    if not isinstance(key, str):
        return f"given the key {shown(key)}, allowed: keys that are texts; put it in quotes if it is a name"
    return _misfit_of_text(key)


def _misfit_of_text(text: str) -> str | None:
    if len(text) > LONGEST:
        return f"given a text of {len(text)} letters, allowed: at most {LONGEST}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"given {shown(text)}, allowed: text that can be written as UTF-8"
    return None


def _inside(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from ((str(number), inner) for number, inner in enumerate(value))


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(key)} stands twice in its table")
    return table


def _whole(digits: str) -> int:
    if len(digits) > 100:
        raise ValueError(f"given a number of {len(digits)} digits, allowed: at most 77")
    return int(digits)


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's JSON reader takes for numbers."""
    raise ValueError(f"{name} is not a number")


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables, with the keys of the tables joined by dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def did_you_mean(given: object, allowed: Iterable[str]) -> str:
    """A hint, if one of the names allowed is near to the given one; else nothing."""
    close = difflib.get_close_matches(str(given)[:200], list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
