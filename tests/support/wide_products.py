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
    return [
        _case([axis[place] for axis, place in zip(listed, places, strict=True)], sum(places), share)
        for places in product(*(range(len(axis)) for axis in listed))
    ]


def one_pair_in(share: int, pairs: list[tuple[Any, Any]]) -> list[Any]:
    """The given pairs of a wide product; all but one in `share` are marked slow, as in `one_in`."""
    first, second = (list({pair[axis]: None for pair in pairs}) for axis in (0, 1))
    return [_case(pair, first.index(pair[0]) + second.index(pair[1]), share) for pair in pairs]


def _case(values: Iterable[Any], diagonal: int, share: int) -> Any:
    """A case, which is fast on every diagonal that `share` divides."""
    return pytest.param(*values, marks=[pytest.mark.slow] if diagonal % share else [])
