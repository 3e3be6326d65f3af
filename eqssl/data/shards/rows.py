"""What sharding knows of the images beside their pixels: keys, labels, splits, groups and names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from eqssl.config.sources import SplitName
from eqssl.data.sources.base import Sample

_KEY = re.compile(r"[0-9a-z_-]+")
# a longer key does not fit into a plain tar header
_LONGEST_KEY = 96
_NAMED = 3
"""How many of many things a message names."""


class Rows:
    """One entry for each image, in the source's order.

    Args:
        dataset: name of the data set, for messages.
        classes: number of its classes.

    Attributes:
        keys, labels, splits, groups, names: as in `Sample`.
    """

    def __init__(self, dataset: str, classes: int) -> None:
        self.keys: list[str] = []
        self.labels: list[int | None] = []
        self.splits: list[SplitName | None] = []
        self.groups: list[str | None] = []
        self.names: list[str] = []
        self.dataset, self._classes = dataset, classes
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, sample: Sample) -> None:
        """Check an image's key and label, and keep what is not pixels.

        Raises:
            ValueError: the key or the label is wrong; names the data set and the key.
        """
        self.check(sample)
        self._known.add(sample.key)
        self.keys.append(sample.key)
        self.labels.append(sample.label)
        self.splits.append(sample.split)
        self.groups.append(None if sample.group is None else _printable(sample.group))
        self.names.append(_printable(sample.name))

    def check(self, sample: Sample) -> None:
        """Like `add`, but keeps nothing."""
        if not _KEY.fullmatch(sample.key) or len(sample.key) > _LONGEST_KEY:
            raise ValueError(
                f"{self.where(sample)}: a key may have up to {_LONGEST_KEY} digits, small letters, _ and -"
            )
        if sample.key in self._known:
            raise ValueError(f"{self.where(sample)}: another image has this key")
        if sample.label is not None and not 0 <= sample.label < self._classes:
            allowed = f"allowed: 0 to {self._classes - 1}" if self._classes else "the source has no classes"
            raise ValueError(f"{self.where(sample)}: label {sample.label} is out of range, {allowed}")

    def where(self, sample: Sample) -> str:
        """The beginning of a message about an image."""
        name = f" ({_printable(sample.name)})" if sample.name else ""
        split = f"{sample.split} " if sample.split else ""
        return f"data set {self.dataset}: {split}image {sample.key!r}{name}"

    def name(self, i: int) -> str:
        """What a person calls image number i."""
        return self.names[i] or self.keys[i]


def called(sample: Sample) -> str:
    """What a person calls an image."""
    return _printable(sample.name) or sample.key


def listed(things: Iterable[str]) -> str:
    """The first of some things in one line, and how many more there are."""
    every = list(things)
    more = f" and {len(every) - _NAMED:,} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more


def _printable(text: str) -> str:
    """Text of one line that can be written as UTF-8; a file's name may be neither."""
    return text if text.isprintable() else repr(text)[1:-1]
