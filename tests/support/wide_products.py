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


def one_pair_in(share: int, pairs: list[tuple[Any, Any]]) -> list[Any]:
    """The given pairs of a wide product; all but one in `share` are marked slow, as in `one_in`."""
    first, second = ({pair[axis]: None for pair in pairs} for axis in (0, 1))
    places = [list(first).index(a) + list(second).index(b) for a, b in pairs]
    slow = [pytest.mark.slow]
    return [
        pytest.param(*pair, marks=slow if place % share else [])
        for pair, place in zip(pairs, places, strict=True)
    ]
