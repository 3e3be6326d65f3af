"""Counts of a data set as tables whose cells hold bars: images of each class, group and size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eqssl.data.shards.index import SPLIT_WORDS, SPLITS, UNLABELLED, ShardIndex

MOST_CLASSES, MOST_GROUPS, MOST_SIZES = 30, 10, 20
"""How many rows have bars; the others are summed in one row."""
MOST_LISTED = 1000
"""Most classes of the table without bars."""
TITLES = tuple(SPLIT_WORDS.values())


@dataclass(frozen=True)
class BarRow:
    """A row of a table.

    Attributes:
        name: what is counted.
        counts: a number for each column.
        shares: of each number, in per cent of the largest one of its column; None for no bar.
    """

    name: str
    counts: tuple[int, ...]
    shares: tuple[float | None, ...]


@dataclass(frozen=True)
class SplitCounts:
    """Images of a split: all, those with a label, groups, and images in groups."""

    title: str
    images: int
    labelled: int
    groups: int
    grouped: int


def split_counts(index: ShardIndex) -> list[SplitCounts]:
    """The counts of each split."""
    found = []
    for split in SPLITS:
        columns = index.splits[split]
        names = [name for name in columns.groups if name]
        labelled = len(columns) - columns.labels.count(UNLABELLED)
        found.append(SplitCounts(SPLIT_WORDS[split], len(columns), labelled, len(set(names)), len(names)))
    return found


def class_bars(index: ShardIndex) -> list[BarRow]:
    """Images of the classes with the most training images, of all others, and without a label."""
    counted = class_counts(index)
    order = sorted(range(len(counted)), key=lambda label: [-n for n in counted[label][1]])
    rows = [counted[label] for label in order]
    unlabelled = tuple(index.splits[split].labels.count(UNLABELLED) for split in SPLITS)
    more = [("without a label", unlabelled)] if any(unlabelled) else []
    return _bars(rows, MOST_CLASSES, "class", "classes", more)


def class_counts(index: ShardIndex) -> list[tuple[str, tuple[int, ...]]]:
    """Name and images in each split of every class, in the order of the labels."""
    counts = [Counter(index.splits[split].labels) for split in SPLITS]
    return [(name, tuple(count[label] for count in counts)) for label, name in enumerate(index.classes)]


def group_bars(index: ShardIndex) -> list[BarRow]:
    """Images of the largest groups, in each split."""
    counts = [Counter(name for name in index.splits[split].groups if name) for split in SPLITS]
    total = sum(counts, Counter[str]())
    order = sorted(total, key=lambda name: (-total[name], name))
    rows = [(name, tuple(count[name] for count in counts)) for name in order]
    return _bars(rows, MOST_GROUPS, "group", "groups", [])


def size_bars(sizes: Mapping[str, int], other: str) -> list[BarRow]:
    """Images of each size at the source, frequent ones first.

    Args:
        sizes: as in index.json.
        other: the name of what index.json does not list.
    """
    times = " \N{MULTIPLICATION SIGN} "
    listed = [(name.replace("x", times), (count,)) for name, count in sizes.items() if name != other]
    more = [("of sizes that index.json does not list", (sizes[other],))] if other in sizes else []
    return _bars(listed, MOST_SIZES, "size", "sizes", more)


def _bars(
    rows: Sequence[tuple[str, tuple[int, ...]]],
    most: int,
    one: str,
    several: str,
    more: Sequence[tuple[str, tuple[int, ...]]],
) -> list[BarRow]:
    """The first rows with bars, then the sum of the others and more rows, which have none."""
    shown, others = rows[:most], rows[most:]
    largest = [max(column) for column in zip(*(counts for _, counts in shown), strict=True)]
    found = []
    for name, counts in shown:
        pairs = zip(counts, largest, strict=True)
        found.append(BarRow(name, counts, tuple(round(100 * n / max(1, top), 2) for n, top in pairs)))
    if others:
        name = f"{len(others):,} other {one if len(others) == 1 else several}"
        sums = tuple(map(sum, zip(*(counts for _, counts in others), strict=True)))
        more = [(name, sums), *more]
    return found + [BarRow(name, counts, (None,) * len(counts)) for name, counts in more]
