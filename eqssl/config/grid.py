"""The grid of cells."""

from __future__ import annotations

from typing import Annotated

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


class GridSettings(Settings):
    """The cells of `all`: the product of four lists, none of which names anything twice.

    How many cells there may be is a setting of the machine, `most_cells`.
    """

    dataset: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000), Distinct()]
    group: Annotated[tuple[GroupName, ...], Field(min_length=1), Distinct()]
    pretext: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000), Distinct()]
    seed: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=10_000), Distinct()]
