"""What a pretext warned of during a training, found again from the means of the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from eqssl.pretexts.base import Pretext


class Warned(NamedTuple):
    """One warning.

    Attributes:
        text: what is wrong, with the numbers of the first epoch in which it was.
        first_epoch: that epoch.
        last_epoch: the last epoch in which it was. If that is not the last one of the training, it passed.
    """

    text: str
    first_epoch: int
    last_epoch: int


def warned(pretext: Pretext, names: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, Warned]:
    """The warnings by their names, in the order in which they came up.

    It depends on the means of the epochs alone, so a resumed training warns of the same.

    Args:
        pretext: the pretext that was trained.
        names: names of the numbers.
        rows: their means in each epoch.
    """
    found: dict[str, Warned] = {}
    for epoch, row in enumerate(rows, 1):
        for name, text in pretext.warnings(dict(zip(names, row, strict=True))).items():
            earlier = found.get(name, Warned(text, epoch, epoch))
            found[name] = earlier._replace(last_epoch=epoch)
    return found
