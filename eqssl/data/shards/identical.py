"""Identical images in a data set: which they are, and how many stand in two splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

from eqssl.config.sources import SplitName
from eqssl.data.shards.rows import Rows, listed

_SPLITS: dict[SplitName, str] = {"train": "training", "val": "validation", "test": "test"}
_HOW = "as they are, turned or mirrored"


def same_numbers(summaries: Sequence[bytes], name: Callable[[int], bytes] | None = None) -> list[int]:
    """Number images so that identical ones have the same number, that of the first of them.

    Args:
        summaries: of the images, equal for identical ones.
        name: gives the safe name of an image by its number, asked for where summaries are equal; None if
            summaries are such names.
    """
    name = name or summaries.__getitem__
    many = {summary for summary, count in Counter(summaries).items() if count > 1}
    first: dict[bytes, int] = {}
    return [first.setdefault(name(i), i) if summary in many else i for i, summary in enumerate(summaries)]


def check_identical(
    rows: Rows, splits: Sequence[SplitName], identical: Sequence[int], most: float
) -> list[str]:
    """Sentences about identical images in two splits, and within splits.

    Args:
        rows: the images.
        splits: the split of each.
        identical: what `same_numbers` gives.
        most: largest share of the images of the smaller of two splits that may be in the other.

    Raises:
        ValueError: there are more.
    """
    notes = []
    for one, other in combinations(_SPLITS, 2):
        small, large = sorted((one, other), key=splits.count)
        first = {number: i for i, number in reversed(list(enumerate(identical))) if splits[i] == large}
        shared = [i for i, number in enumerate(identical) if splits[i] == small and number in first]
        if not shared:
            continue
        count = splits.count(small)
        share = len(shared) / count
        pairs = listed(f"{rows.name(i)} and {rows.name(first[identical[i]])}" for i in shared)
        text = (
            f"{len(shared):,} of {count:,} {_SPLITS[small]} images ({share:.1%}) are identical to "
            f"{_SPLITS[large]} images, {_HOW}: {pairs}"
        )
        if share > most:
            raise ValueError(
                f"data set {rows.dataset}: {text}; `shards.most_shared` allows {most:.1%}: remove them, or "
                "give identical images one group"
            )
        notes.append(text)
    inside = Counter(zip(splits, identical, strict=True))
    within = {split: sum(n - 1 for (s, _), n in inside.items() if s == split) for split in _SPLITS}
    if any(within.values()):
        parts = ", ".join(f"{n:,} {_SPLITS[split]}" for split, n in within.items() if n)
        notes.append(f"images that repeat another image of their split, {_HOW}: {parts}")
    labels = rows.labels
    unlike = [
        i
        for i, first in enumerate(identical)
        if i != first and None not in (labels[i], labels[first]) and labels[i] != labels[first]
    ]
    if unlike:
        pairs = listed(f"{rows.name(i)} and {rows.name(identical[i])}" for i in unlike)
        notes.append(f"identical images with different labels, {_HOW}: {pairs}")
    return notes
