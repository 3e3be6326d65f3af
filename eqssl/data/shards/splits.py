"""Which image is in which split: as the source says, and what it does not say is decided by hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from eqssl.config.plain import counted
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SplitName
from eqssl.data.shards.rows import Rows, listed
from eqssl.data.shards.whole_units import whole_units


class Dealt(NamedTuple):
    """The split of each image, and a sentence for each thing that was decided."""

    splits: list[SplitName]
    notes: list[str]


def deal(rows: Rows, identical: Sequence[int], settings: ShardSettings) -> Dealt:
    """Give each image a split.

    Splits of the source are taken as they are. If it has no test split, `settings.test` of what is not for
    validation becomes one; if it has none for validation, `settings.validation` of the training images does.
    Both are dealt class by class, by the SHA-256 of the keys. Groups are dealt whole, by the hashes of their
    names, and the shares are met as well as whole groups can. If there are no groups, identical images are
    dealt together.

    Args:
        rows: the images.
        identical: the same number for images that are identical.
        settings: the shares.

    Raises:
        ValueError: the source has a split for some images only, or a group is in two of its splits, or
            images or groups are too few.
    """
    if not rows.keys:
        raise ValueError(f"data set {rows.dataset}: has no image")
    _check_given(rows)
    _check_groups(rows)
    splits = list(rows.splits)
    notes: list[str] = []
    shares: tuple[tuple[SplitName, float], ...] = (("test", settings.test), ("val", settings.validation))
    for split, share in shares:
        if split in rows.splits:
            continue
        pool = [i for i, found in enumerate(splits) if found in ("train", None)]
        chosen, note = _part(rows, pool, identical, share, settings.count, split)
        for i in chosen:
            splits[i] = split
        notes.extend(note)
    return Dealt([split or "train" for split in splits], notes)


def validation_part(keys: Sequence[str], labels: Sequence[int | None], share: float) -> set[int]:
    """Choose a share of the images, class by class, by their keys alone.

    Of the n images of a class, those with the round(share * n) smallest SHA-256 hashes of their keys.

    Returns:
        Positions in `keys`.
    """
    members_of: dict[int | None, list[tuple[bytes, int]]] = {}
    for i, (key, label) in enumerate(zip(keys, labels, strict=True)):
        members_of.setdefault(label, []).append((hashlib.sha256(key.encode()).digest(), i))
    return {i for part in members_of.values() for _, i in sorted(part)[: round(share * len(part))]}


def _check_given(rows: Rows) -> None:
    """Refuse splits of the source that cannot be completed."""
    without = rows.splits.count(None)
    if 0 < without < len(rows):
        first = rows.name(rows.splits.index(None))
        raise ValueError(
            f"data set {rows.dataset}: {counted(without, 'image')} of {len(rows):,} have no split, such as "
            f"{first}: give each image a split, or none"
        )
    if not without and "train" not in rows.splits:
        raise ValueError(f"data set {rows.dataset}: has no training image")


def _check_groups(rows: Rows) -> None:
    """Refuse a group that the source has in two splits."""
    first: dict[str, int] = {}
    for i, (group, split) in enumerate(zip(rows.groups, rows.splits, strict=True)):
        if group is not None and split != rows.splits[before := first.setdefault(group, i)]:
            raise ValueError(
                f"data set {rows.dataset}: group {group!r} is in two splits, {rows.splits[before]} "
                f"({rows.name(before)}) and {split} ({rows.name(i)})"
            )


def _part(
    rows: Rows, pool: Sequence[int], identical: Sequence[int], share: float, least: int, split: SplitName
) -> tuple[set[int], list[str]]:
    """The images of the pool that go into a new split, and notes about it.

    Raises:
        ValueError: there are too few.
    """
    keys, labels = [rows.keys[i] for i in pool], [rows.labels[i] for i in pool]
    groups = {group for i in pool if (group := rows.groups[i]) is not None}
    if groups:
        # no group has a name with a zero in it
        names = [f"\0{rows.keys[i]}" if (group := rows.groups[i]) is None else group for i in pool]
        chosen, how = whole_units(_units(names), labels, share), ", whole groups alone"
    else:
        chosen, how = _without_groups(keys, labels, [identical[i] for i in pool], share, least)
    if not chosen or len(chosen) == len(pool):
        of = f" of {counted(len(groups), 'group')}" if groups else ""
        raise ValueError(
            f"data set {rows.dataset}: {counted(len(pool), 'image')}{of} cannot be divided into "
            f"training images and the split {split}, which the source does not have"
        )
    notes = []
    if split == "test" or how:
        notes.append(
            f"the source has no split {split}: {counted(len(chosen), 'image')} of {len(pool):,} "
            f"({len(chosen) / len(pool):.1%}) became one, chosen by hash{how}"
        )
    if groups and (alone := [i for i in pool if rows.groups[i] is None]) and split == "val":
        notes.append(
            f"{counted(len(alone), 'image')} have no group and were dealt one by one: "
            f"{listed(map(rows.name, alone))}"
        )
    return {pool[i] for i in chosen}, notes


def _without_groups(
    keys: Sequence[str], labels: Sequence[int | None], identical: Sequence[int], share: float, least: int
) -> tuple[set[int], str]:
    """Positions chosen by keys alone, unless that parts identical images, or classes are too small for it."""
    chosen = validation_part(keys, labels, share)
    if len(chosen) < least:
        chosen = whole_units(_units(keys), labels, share)
    inside = {identical[i] for i in chosen}
    if all(i in chosen for i, number in enumerate(identical) if number in inside):
        return chosen, ""
    smallest: dict[int, str] = {}
    for number, key in zip(identical, keys, strict=True):
        smallest[number] = min(key, smallest.get(number, key))
    together = whole_units(_units([smallest[number] for number in identical]), labels, share)
    # where nearly all images are identical, no such split is large enough
    return (together, ", identical images together") if len(together) >= least else (chosen, "")


def _units(names: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the images of each unit, from the name of the unit of each image."""
    members: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    return members
