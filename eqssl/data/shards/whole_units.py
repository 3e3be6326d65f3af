"""A share of images, made of whole units such as the images of a patient."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

_ROUNDS = 4
_LITTLE = 1e-9

Counts = Mapping[int | None, int]


def whole_units(units: Mapping[str, Sequence[int]], labels: Sequence[int | None], share: float) -> set[int]:
    """Choose whole units with about a share of all images, and of each class.

    Units are gone through in the order of the SHA-256 of their names. A unit is taken, or put back, if this
    brings the number of images nearer to the share: that of all images, and the sum over the classes. The
    last images of a class are never taken. If nothing is taken that way, the unit that comes nearest is.

    Args:
        units: name -> positions in `labels`; each position is in one unit.
        labels: of the images.
        share: the wanted share, between 0 and 1.

    Returns:
        Positions of the chosen images; none if no unit can be taken.
    """
    counts = {name: Counter(labels[i] for i in members) for name, members in units.items()}
    order = sorted(counts, key=lambda name: hashlib.sha256(name.encode()).digest())
    choice = _Choice(Counter(labels), share)
    chosen: set[str] = set()
    for _ in range(_ROUNDS):
        before = set(chosen)
        for name in order:
            sign = -1 if name in chosen else 1
            if choice.allows(counts[name], sign) and choice.change(counts[name], sign) < -_LITTLE:
                choice.move(counts[name], sign)
                chosen ^= {name}
        if chosen == before:
            break
    allowed = [name for name in order if choice.allows(counts[name], 1)]
    if not chosen and allowed:
        chosen = {min(allowed, key=lambda name: choice.change(counts[name], 1))}
    return {i for name in chosen for i in units[name]}


class _Choice:
    """How many images are chosen, and how far that is from the share."""

    def __init__(self, there: Counts, share: float) -> None:
        self._there, self._share = there, share
        self._all = sum(there.values())
        self._taken: Counter[int | None] = Counter()
        self._total = 0

    def allows(self, counts: Counts, sign: int) -> bool:
        """Whether images of every class stay behind (-1: a unit that is put back always may)."""
        if sign < 0:
            return True
        left_over = self._total + sum(counts.values()) < self._all
        return left_over and all(
            label is None or self._taken[label] + more < self._there[label] for label, more in counts.items()
        )

    def change(self, counts: Counts, sign: int) -> float:
        """How much further from the share the choice is with these images (below 0: nearer)."""
        moved = sign * sum(counts.values())
        change = self._further(self._total, moved, self._all)
        for label, number in counts.items():
            change += self._further(self._taken[label], sign * number, self._there[label])
        return change

    def move(self, counts: Counts, sign: int) -> None:
        """Take images, or put them back."""
        self._total += sign * sum(counts.values())
        for label, number in counts.items():
            self._taken[label] += sign * number

    def _further(self, taken: int, moved: int, there: int) -> float:
        wanted = self._share * there
        return abs(taken + moved - wanted) - abs(taken - wanted)
