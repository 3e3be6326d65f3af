"""The grid of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from eqssl.config.groups import GroupName
from eqssl.config.settings import Settings
from eqssl.config.values import Distinct, Name, Seed


class Cell(Settings):
    """One cell of the grid: a data set, a group, a pretext by its name in `pretexts`, a seed."""

    dataset: Name
    group: GroupName
    pretext: Name
    seed: Seed


IDENTITY: tuple[str, ...] = tuple(Cell.model_fields)
"""The names of what tells one cell from another."""


def short_name(cell: Mapping[str, Any]) -> str:
    """A cell as commands take it.

    >>> short_name({"dataset": "d", "group": "C4", "pretext": "random", "seed": 0})
    'd/C4/random/s0'
    """
    return "{dataset}/{group}/{pretext}/s{seed}".format(**cell)


def long_name(cell: Mapping[str, Any]) -> str:
    """A cell in messages.

    >>> long_name({"dataset": "d", "group": "C4", "pretext": "random", "seed": 0})
    'd C4 random seed 0'
    """
    return "{dataset} {group} {pretext} seed {seed}".format(**cell)


class GridSettings(Settings):
    """The cells of `all`: the product of four lists, none of which names anything twice.

    How many cells there may be is a setting of the machine, `most_cells`.
    """

    dataset: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000), Distinct()]
    group: Annotated[tuple[GroupName, ...], Field(min_length=1), Distinct()]
    pretext: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000), Distinct()]
    seed: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=10_000), Distinct()]
