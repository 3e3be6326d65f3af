"""The chain of a number as text of 80 columns, and as plain values for programs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eqssl.config.plain import flat
from eqssl.machine.cell_numbers import TARGET
from eqssl.machine.tracing.walking import Link, Trace

WIDTH = 80
_LABEL = 12
_INDENT = " " * (2 + _LABEL)
UNKNOWN = "not recorded"
_VERSIONS = (
    ("eqssl", "python", "torch"),
    ("commit",),
    ("clean", "code"),
    ("processor", "cores"),
    ("gpus",),
    ("platform",),
)
"""The versions, a line each."""
_MARKS = {True: "holds", False: "FAULT", None: "-----"}
_VIEWS = {
    "stored": "test images as stored",
    "grid": "test images moved by elements of D4",
    "angle": "test images turned by any angle",
}
_KINDS = (
    (r"(?P<regular>reg_)?acc_(?P<view>[a-z]+)_(?P<share>\d+)", "accuracy of the linear probe"),
    (r"knn_(?P<view>[a-z]+)", "accuracy of the nearest neighbours"),
    (r"retrieval_.*", "how well moved test images are found again among the stored ones"),
    (r"equivariance_error", "largest relative error of the encoder's symmetry"),
    (r"pretext_.*", "how well the pretext was learnt, on validation images"),
    (r"epochs|seconds_pretrain", "length of the training"),
    (r"parameters|flops", "size of the encoder"),
)


def meaning(number: str) -> str:
    """What a number is, in words.

    Example:
        >>> meaning("reg_acc_stored_10")
        'accuracy of the linear probe on the regular feature, test images as stored, 10 % of the labels'
    """
    for pattern, words in _KINDS:
        match = re.fullmatch(pattern, number)
        if match is None:
            continue
        parts = match.groupdict()
        if view := parts.get("view"):
            feature = "regular" if parts.get("regular") else "invariant"
            words += f" on the {feature} feature, {_VIEWS.get(view, f'view {view}')}"
        return words + (f", {parts['share']} % of the labels" if "share" in parts else "")
    return "see docs/evaluation.md"


def trace_values(trace: Trace) -> dict[str, Any]:
    """The chain as values that JSON can hold; None for what is not recorded."""
    links = [
        {
            "name": link.name,
            "holds": link.holds,
            "record": None if link.path is None else str(link.path),
            "seal": link.seal,
            "files": dict(link.files),
            "facts": dict(link.facts),
            "versions": dict(link.versions),
            "faults": [{"path": str(fault.path), "reason": fault.reason} for fault in link.faults],
        }
        for link in trace.links
    ]
    number = {**vars(trace.number), "meaning": meaning(trace.number.name)}
    holds = not trace.faults
    return {
        "cell": dict(trace.cell),
        "home": str(trace.home),
        "number": number,
        "holds": holds,
        "links": links,
    }


def trace_lines(trace: Trace) -> Iterator[str]:
    """The chain as lines, from the number down.

    A line is longer than 80 columns only if a path is, which is not cut so that it can be copied.
    """
    number = trace.number
    yield f"{number.name} = {UNKNOWN if number.value is None else f'{number.value:.10g}'}"
    yield from _fact("is", meaning(number.name))
    ends = (number.low, number.high)
    interval = None if None in ends else f"{number.low:.10g} to {number.high:.10g}"
    yield from _fact("95 % within", interval)
    name = "{dataset} {group} {pretext} seed {seed}".format_map(_Unknown(trace.cell))
    yield from _fact("cell", name)
    if TARGET in trace.cell:
        yield from _fact("read on", str(trace.cell[TARGET]))
    yield from _fact("folder", str(trace.home))
    for link in trace.links:
        yield ""
        yield from _link(link, trace)
    yield ""
    yield "versions"
    yield from _versions(trace.links)
    yield ""
    count = len(trace.faults)
    files = "1 file is" if count == 1 else f"{count} files are"
    yield f"{files} missing or damaged" if count else "every link holds"


class _Unknown(dict[str, Any]):
    """Values in which what is missing is not recorded."""

    def __missing__(self, key: str) -> str:
        return UNKNOWN


def _link(link: Link, trace: Trace) -> Iterator[str]:
    place = _place(link) if link.path is None else _short(link.path, trace)
    yield f"{_MARKS[link.holds]}  {link.name}: {place}"
    for fault in link.faults:
        yield from _fact("fault", fault.reason)
    if link.name == "number":
        return
    if link.path is not None:
        yield from _fact("seal", link.seal)
    for name, value in link.facts.items():
        yield from _fact(name.replace("_", " "), _text(value))
    # the tars of shards are counted above, and the seal of their index stands for them
    for name, sha256 in link.files.items() if link.name not in ("shards", "target") else ():
        yield from _fact("file", name)
        yield from _fact("", sha256)


def _place(link: Link) -> str:
    """What stands in the place of a record that there is not."""
    return "not found" if link.faults else "as recorded in the shards; its own files are not read"


def _versions(links: tuple[Link, ...]) -> Iterator[str]:
    """The versions of each step; equal ones are said once."""
    said: dict[tuple[str, ...], str] = {}
    for link in links:
        if not link.versions:
            continue
        known = {name: text for name, value in link.versions.items() if (text := _text(value)) is not None}
        groups = [[name for name in group if name in known] for group in _VERSIONS]
        lines = tuple(", ".join(f"{name} {known[name]}" for name in group) for group in groups if group)
        if absent := [name for name in link.versions if name not in known]:
            lines = (*lines, f"{UNKNOWN}: {', '.join(absent)}")
        first = said.setdefault(lines, link.name)
        shown = lines if first == link.name else (f"those of the {first}",)
        for label, line in zip((link.name, *[""] * len(shown)), shown, strict=False):
            yield from _fact(label, line)


def _fact(name: str, value: str | None) -> Iterator[str]:
    yield from _wrapped(f"  {name:<{_LABEL}}", UNKNOWN if value is None else value)


def _wrapped(start: str, text: str) -> Iterator[str]:
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    if not clean.strip():
        clean = "none"
    yield from textwrap.wrap(
        clean,
        WIDTH,
        initial_indent=start,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _short(path: Path, trace: Trace) -> str:
    """A path below the cell's folder or the project's, since the whole one would not fit a line."""
    for folder in (trace.home, trace.root):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)


def _text(value: object) -> str | None:
    """A recorded value in one line; None for None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_text(item) or "none" for item in value) or "none"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(inner) or 'none'}" for key, inner in flat(value)) or "none"
    return str(value)
