"""Change a few settings in the text of a YAML file; every other byte, comments too, stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml

from eqssl.config.yaml_files import parse_yaml

Key: TypeAlias = tuple[str, ...]
Scalar: TypeAlias = str | int | float | bool | None
Change: TypeAlias = Scalar | Sequence[Scalar] | Mapping[str, Any]
_Splice: TypeAlias = tuple[int, int, str]
"""Begin and end of a part of the text, and what takes its place."""


def edited(text: str, changes: Mapping[Key, Change]) -> str:
    """A text with some settings changed.

    A scalar or a list of scalars takes the place of one that is there; comments between the entries of a list
    stay. A table is added to the table above it, as its last entry. What has its value is not touched.

    Args:
        text: YAML in block style.
        changes: key, such as ("grid", "dataset"), -> new value.

    Raises:
        ValueError: not YAML, or not written in a way in which this can be changed.
    """
    values = parse_yaml(text)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    splices: list[_Splice] = []
    for key, value in changes.items():
        if _at(values, key) == value:
            continue
        if isinstance(value, Mapping):
            splices.append(_added(text, root, key, value))
        elif isinstance(value, str) or not isinstance(value, Sequence):
            splices.append(_replaced(_node(root, key), key, value))
        else:
            splices.extend(_relisted(text, _node(root, key), key, list(value)))
    for begin, end, new in sorted(splices, reverse=True):
        text = text[:begin] + new + text[end:]
    _check(text, values, changes)
    return text


def _check(text: str, before: Any, changes: Mapping[Key, Change]) -> None:
    """Refuse a text that does not say what was wanted, as happens with aliases and flow style."""
    for key, value in changes.items():
        before = _changed(before, key, value)
    try:
        if parse_yaml(text) == before:
            return
    except ValueError:
        pass
    names = ", ".join(".".join(key) for key in changes)
    raise ValueError(
        f"cannot change {names}: tables and lists must be in block style there, without anchors and aliases"
    )


def _changed(values: Any, key: Key, value: Change) -> Any:
    if not key:
        return dict(value) if isinstance(value, Mapping) else value
    inner = values.get(key[0]) if isinstance(values, dict) else None
    return {**(values or {}), key[0]: _changed(inner, key[1:], value)}


def _at(values: Any, key: Key) -> Any:
    for part in key:
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _node(root: Any, key: Key) -> Any:
    """The node of a value.

    Raises:
        ValueError: there is none.
    """
    node = root
    for i, part in enumerate(key):
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in entries if name.value == part), None)
        if node is None:
            raise ValueError(f"{'.'.join(key[: i + 1])}: is missing")
    return node


def _replaced(node: Any, key: Key, value: Scalar) -> _Splice:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"{'.'.join(key)}: holds a list or a table, which a single value would replace")
    return node.start_mark.index, node.end_mark.index, _scalar(value)


def _relisted(text: str, node: Any, key: Key, values: list[Scalar]) -> list[_Splice]:
    """Each entry gives its place to the new one of its number; lines are added or taken out at the end."""
    scalars = isinstance(node, yaml.SequenceNode) and all(isinstance(e, yaml.ScalarNode) for e in node.value)
    if not scalars or node.flow_style or not node.value:
        raise ValueError(f"{'.'.join(key)}: must be a list in block style, one entry a line")
    entries = node.value
    splices = [
        _replaced(entry, key, value)
        for entry, value in zip(entries, values, strict=False)
        if parse_yaml(text[entry.start_mark.index : entry.end_mark.index]) != value
    ]
    splices += [
        (_line_start(text, entry), _line_end(text, entry.end_mark.index), "")
        for entry in entries[len(values) :]
    ]
    new = values[len(entries) :]
    if new:
        end = _line_end(text, entries[-1].end_mark.index)
        line = " " * node.start_mark.column + "- {}" + _break(text)
        splices.append((end, end, _fresh(text, end) + "".join(line.format(_scalar(value)) for value in new)))
    return splices


def _added(text: str, root: Any, key: Key, values: Mapping[str, Any]) -> _Splice:
    """A table as the last entry of the table above it."""
    above = _node(root, key[:-1])
    if not isinstance(above, yaml.MappingNode) or above.flow_style or not above.value:
        raise ValueError(f"{'.'.join(key[:-1])}: must be a table in block style")
    if any(name.value == key[-1] for name, _ in above.value):
        raise ValueError(f"{'.'.join(key)}: is there with other settings")
    end = _line_end(text, _last(above).end_mark.index)
    indent = " " * above.value[0][0].start_mark.column
    block = yaml.safe_dump(
        {key[-1]: dict(values)}, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False
    )
    lines = "".join(f"{indent}{line}{_break(text)}" for line in block.splitlines())
    return end, end, _fresh(text, end) + lines


def _last(node: Any) -> Any:
    """The last scalar, or list or table in flow style, inside a node: comments after it belong elsewhere."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    return node


def _line_start(text: str, node: Any) -> int:
    return text.rfind("\n", 0, node.start_mark.index) + 1


def _line_end(text: str, place: int) -> int:
    """Where the next line begins; of a text in several lines, `place` may already be there."""
    if place and text[place - 1] == "\n":
        return place
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def _fresh(text: str, place: int) -> str:
    """A line break, where the last line has none."""
    return "" if text[:place].endswith("\n") else _break(text)


def _break(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _scalar(value: Scalar) -> str:
    dumped: str = yaml.safe_dump({"k": value}, allow_unicode=True, width=10_000)
    return dumped.removeprefix("k:").strip()
