"""Wide products of parameters: a part of the cases is fast, the others are slow."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def one_in(share: int, *axes: Iterable[Any]) -> list[Any]:
    """Every combination; all but one in `share` are marked slow.

    The fast ones lie on diagonals, so that every value of each axis is among them.
    """
    listed = [list(axis) for axis in axes]
    cases = []
    for places in product(*(range(len(axis)) for axis in listed)):
        values = [axis[place] for axis, place in zip(listed, places, strict=True)]
        marks = [pytest.mark.slow] if sum(places) % share else []
        cases.append(pytest.param(*values, marks=marks))
    return cases
