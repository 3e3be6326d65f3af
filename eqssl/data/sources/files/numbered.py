"""Numbered files of a split: whether one is missing, or there are two sets of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.files.split_names import PathReading

_Named = tuple[str, PathReading]


def check_numbers(path: Path, files: Sequence[_Named]) -> list[str]:
    """Compare the names of the files of each split with each other.

    Args:
        path: the folder, for messages.
        files: names below it, and what they say.

    Returns:
        A sentence for each gap between numbers.

    Raises:
        ValueError: a file of a stated number is missing, or the names of a split are of two kinds.
    """
    sets: dict[object, list[_Named]] = {}
    for name, reading in files:
        # without a split, files of any name are one set
        kind = reading.shape if reading.split is None else None
        sets.setdefault((reading.split, reading.roles, kind), []).append((name, reading))
    notes: list[str] = []
    for members in sets.values():
        shapes = {reading.shape: name for name, reading in members}
        if len(shapes) > 1:
            raise ValueError(
                f"{path}: files of two kinds could be the split {members[0][1].split}: "
                f"{shown_names(shapes.values())}; name the files of each split with `files`"
            )
        if members[0][1].part:
            _check_parts(path, members)
        else:
            notes += _gaps(path, members)
    return notes


def missing_parts(readings: Sequence[PathReading]) -> list[str]:
    """A sentence on files that a user chose of a larger number."""
    parts = [reading.part for reading in readings if reading.part]
    stated = sum(
        {(reading.shape, reading.part[1]): reading.part[1] for reading in readings if reading.part}.values()
    )
    if stated <= len(parts):
        return []
    return [f"The names state {stated} files, of which {len(parts)} are read."]


def _check_parts(path: Path, members: Sequence[_Named]) -> None:
    """Refuse numbers of names such as `train-00000-of-00002` that are not complete."""
    parts = {reading.part: name for name, reading in members if reading.part}
    totals = sorted({total for _, total in parts})
    if len(totals) > 1 or len(parts) < len(members):
        raise ValueError(
            f"{path}: two sets of files could be the split {members[0][1].split}: "
            f"{shown_names(name for name, _ in members)}; name the files of each split with `files`"
        )
    first = min(number for number, _ in parts) and 1
    for number in range(first, totals[0] + first):
        if (number, totals[0]) not in parts:
            name = members[0][0]
            raise ValueError(
                f"{path}: {_renumbered(name, number)} is missing: {name} is one of {totals[0]} files; "
                "`files` takes those that are there"
            )


def _renumbered(name: str, number: int) -> str:
    """The name of the file of another number."""
    return re.sub(
        r"[0-9]+(?=[-_]of[-_][0-9]+[^/]*$)", lambda found: f"{number:0{len(found[0])}}", name, count=1
    )


def _gaps(path: Path, members: Sequence[_Named]) -> Iterator[str]:
    """Numbers that are missing between others. Without leading zeros, they may be sizes or years."""
    columns = list(zip(*(reading.numbers for _, reading in members), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    if len(varying) != 1:
        return
    numbers = sorted(set(map(int, varying[0])))
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if not missing:
        return
    names = shown_names(name for name, _ in members)
    if len(set(map(len, varying[0]))) > 1:
        raise ValueError(
            f"{path}: the numbers of these files do not follow each other, are they one set? {names}; "
            "name the files of each split with `files`"
        )
    yield f"{missing} numbers are missing between those of {names}."
