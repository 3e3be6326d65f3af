"""Read YAML within bounds, which are checked before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eqssl.config.plain import DEEPEST, LONGEST, MOST_ENTRIES, check_plain, shown
from eqssl.config.regular_files import read_text

MOST_BYTES = 500_000
"""Most bytes of a file of settings."""
TEMPLATE = "__use_yte__"
"""The key that makes Snakemake treat a file as a template and run the code in it."""
# the parser in C, where PyYAML has it, reads as safely as the other one, and ten times as fast
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Names the line of a value that is out of range, such as a date in month 13."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def read_yaml(path: str | Path) -> Any:
    """Plain lists, tables and scalars from a YAML file.

    Raises:
        ValueError: the file is too large, not YAML, or out of the bounds of `parse_yaml`; names the file.
        OSError: it is not a regular file or cannot be read; names the file.
    """
    text = read_text(path, MOST_BYTES)
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_yaml(text: str) -> Any:
    """Plain lists, tables and scalars from YAML text.

    Aliases may stand for `MOST_ENTRIES` entries in all. A key that occurs twice in a table is refused,
    because YAML readers silently take one of the two. A Snakemake template is refused too.

    Raises:
        ValueError: not YAML, or out of these bounds or those of `check_plain`.
    """
    try:
        _Scan().follow(yaml.parse(text, Loader=_Loader))
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 it is a safe one
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {_reason(error)}") from None
    check_plain(values)
    return values


def parse_assignments(texts: Iterable[str], where: str) -> dict[str, Any]:
    """Settings given as `KEY=VALUE`, with values in YAML.

    Raises:
        ValueError: a text has no `=`, or its value is not YAML; names `where`.
    """
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ValueError(f"{where}: given {shown(text)}, allowed: KEY=VALUE, such as size=64")
        try:
            values[key] = parse_yaml(value)
        except ValueError as error:
            raise ValueError(f"{where} {key}: {error}") from None
    return values


@dataclass
class _Open:
    """A list or table that has not ended yet.

    Attributes:
        anchor: the name that aliases use for it.
        keys: the keys of a table so far; None for a list.
        size: entries so far, including those that aliases stand for.
        height: levels below it so far.
        at_key: whether a key comes next.
    """

    anchor: str | None
    keys: set[str] | None
    size: int = 1
    height: int = 0
    at_key: bool = True

    def add(self, size: int, height: int) -> None:
        """Add a finished entry."""
        self.size += size
        self.height = max(self.height, height + 1)
        self.at_key = not self.at_key
        if self.size > MOST_ENTRIES:
            raise ValueError(f"more than {MOST_ENTRIES} entries, counting those that aliases stand for")


class _Scan:
    """Follows the parser without building anything.

    Attributes:
        path: the lists and tables that are open.
        anchors: size and height of what aliases stand for, by their names.
    """

    def __init__(self) -> None:
        self.path: list[_Open] = []
        self.anchors: dict[str | None, tuple[int, int]] = {}

    def follow(self, events: Iterator[Any]) -> None:
        """Stop with a `ValueError` at the first event that is out of bounds."""
        for event in events:
            match event:
                case yaml.MappingStartEvent():
                    self._open(event, set())
                case yaml.SequenceStartEvent():
                    self._open(event, None)
                case yaml.CollectionEndEvent():
                    closed = self.path.pop()
                    self._add(closed.anchor, closed.size, closed.height)
                case yaml.ScalarEvent():
                    _check_scalar(event, self.path)
                    self._add(event.anchor, 1, 0)
                case yaml.AliasEvent():
                    self._alias(event)

    def _open(self, event: Any, keys: set[str] | None) -> None:
        self.path.append(_Open(event.anchor, keys))
        self._check_depth(event, 0)

    def _alias(self, event: Any) -> None:
        if any(one.anchor == event.anchor for one in self.path):
            raise ValueError(f"{_line(event)}: the alias {shown(event.anchor)} stands for itself")
        size, height = self.anchors.get(event.anchor, (1, 0))
        self._check_depth(event, height)
        self._add(None, size, height)

    def _add(self, anchor: str | None, size: int, height: int) -> None:
        if anchor:
            self.anchors[anchor] = size, height
        if self.path:
            self.path[-1].add(size, height)

    def _check_depth(self, event: Any, height: int) -> None:
        if len(self.path) + height > DEEPEST:
            levels = f"more than {DEEPEST} levels of lists and tables inside each other"
            raise ValueError(f"{_line(event)}: {levels}")


def _check_scalar(event: Any, path: list[_Open]) -> None:
    """Check that a value or key is not too long, and that a key does not occur twice."""
    text = event.value
    if len(text) > LONGEST:
        raise ValueError(f"{_line(event)}: given a text of {len(text)} letters, allowed: at most {LONGEST}")
    if not path or path[-1].keys is None or not path[-1].at_key:
        return
    if text == TEMPLATE:
        raise ValueError(f"{_line(event)}: {TEMPLATE}: given a template, allowed: plain settings")
    if text in path[-1].keys:
        raise ValueError(f"{_line(event)}: the key {shown(text)} stands twice in its table")
    path[-1].keys.add(text)


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _reason(error: yaml.YAMLError) -> str:
    """The reason of an error, in one line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark else ""
    return place + " ".join(str(problem or error).split())
