"""Which arrays of a file are images, labels and groups, by their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from eqssl.config.sources import SplitName

_ALIASES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
# names of images -> names of labels that belong to them; `{split}` stands for a split
_PAIRS = {
    "{split}_images": "{split}_labels",
    "x_{split}": "y_{split}",
    "{split}_x": "{split}_y",
    "images": "labels",
    "x": "y",
}
_LABELS = (*_PAIRS.values(), "ans", "label")
_GROUPS = ("{split}_groups", "groups_{split}", "groups")
_SHOWN = 10


@dataclass(frozen=True)
class Wanted:
    """Names that the settings give, in which `{split}` stands for a split; None for those that are known."""

    images: str | None
    labels: str | None
    groups: str | None


@dataclass(frozen=True)
class Part:
    """Names of arrays that belong together.

    Attributes:
        split: None if the names say nothing of it.
        images: empty for labels or groups alone.
        labels, groups: None for what is not there.
    """

    split: SplitName | None
    images: str
    labels: str | None
    groups: str | None


def parts(names: Collection[str], wanted: Wanted) -> tuple[Part, ...]:
    """The arrays of each split, or of no split.

    A part without images holds labels or groups alone, as a file of labels does. None at all if no array is
    known.
    """
    images = _pattern(names, wanted.images, tuple(_PAIRS))
    pair = _PAIRS.get(images or "")
    labels = _pattern(names, wanted.labels, (*((pair,) if pair else ()), *_LABELS), like=images)
    groups = _pattern(names, wanted.groups, _GROUPS, like=images)
    found = [
        Part(split, row[0] if row[0] in names else "", _there(row[1], names), _there(row[2], names))
        for split, row in _rows((images or "", labels or "", groups or ""))
    ]
    return tuple(
        part for part in found if (part.images if images is not None else part.labels or part.groups)
    )


def noted_merged(found: Iterable[Part]) -> Iterator[str]:
    """A sentence on each split that several arrays of images are taken for, such as val and validation."""
    names: dict[SplitName, list[str]] = {}
    for part in found:
        if part.split is not None and part.images:
            names.setdefault(part.split, []).append(part.images)
    for split, images in names.items():
        if len(images) > 1:
            yield f"Several arrays are taken as {split}: {shown_names(images)}."


def present(pattern: str, names: Collection[str]) -> bool:
    """Whether a name fits a pattern."""
    return any(name in names for _, name in _filled(pattern))


def shown_names(names: Iterable[str]) -> str:
    """The first names, for a message or a note."""
    listed = sorted(names)
    rest = f" and {len(listed) - _SHOWN} others" if len(listed) > _SHOWN else ""
    return ", ".join(map(repr, listed[:_SHOWN])) + rest if listed else "none"


def _pattern(
    names: Collection[str], given: str | None, known: tuple[str, ...], like: str | None = None
) -> str | None:
    """The first known pattern that a name fits; one with `{split}` only if `like` has it too."""
    for pattern in (given,) if given is not None else known:
        same = like is None or given is not None or ("{split}" in pattern) == ("{split}" in like)
        if same and present(pattern, names):
            return pattern
    return None


def _filled(pattern: str) -> list[tuple[SplitName | None, str]]:
    if "{split}" not in pattern:
        return [(None, pattern)]
    return [
        (split, pattern.replace("{split}", alias)) for split, aliases in _ALIASES.items() for alias in aliases
    ]


def _rows(
    patterns: tuple[str, ...],
) -> Iterator[tuple[SplitName | None, tuple[str, ...]]]:
    """Each split with the names that the patterns give for it, or one row without split."""
    if not any("{split}" in pattern for pattern in patterns):
        yield None, patterns
        return
    for split, aliases in _ALIASES.items():
        for alias in aliases:
            yield split, tuple(pattern.replace("{split}", alias) for pattern in patterns)


def _there(name: str, names: Collection[str]) -> str | None:
    return name if name in names else None
