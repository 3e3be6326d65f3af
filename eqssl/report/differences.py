"""Paired differences of cells: each pretext less its twin, less `random`, less the plain network with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from eqssl.config.claims import PLAIN_GROUP
from eqssl.config.grid import Cell as Place
from eqssl.evaluation.claims import Pair
from eqssl.evaluation.grid_cells import GridCells, Side
from eqssl.report.cells import Cell
from eqssl.report.right_images import Right
from eqssl.report.tables import Row, shares_of, views_of

Kind: TypeAlias = Literal["twin", "random", "trivial"]
KINDS: tuple[Kind, ...] = ("twin", "random", "trivial")


def grid_cells(dataset: str, cells: Sequence[Cell]) -> GridCells:
    """The cells of one data set as comparisons need them."""
    mine = {_place(cell): cell for cell in cells if cell.dataset == dataset and comparable(cell)}
    return GridCells(
        dataset,
        {place: cell.numbers for place, cell in mine.items()},
        {place: Right(cell.right) for place, cell in mine.items() if cell.right is not None},
    )


def comparable(cell: Cell) -> bool:
    """Whether a grid can have the cell: its data set, group and pretext have names that settings allow."""
    try:
        _place(cell)
    except ValueError:
        return False
    return True


def _place(cell: Cell) -> Place:
    return Place.read(
        {"dataset": cell.dataset, "group": cell.group, "pretext": cell.pretext, "seed": cell.seed}
    )


def primary_metric(cells: Sequence[Cell]) -> str | None:
    """The accuracy that decides: with most labels, on stored images if they were tested; None without one."""
    shares, views = shares_of(cells), views_of(cells)
    names = (f"acc_{view}_{share}" for share in shares for view in views)
    return next((name for name in names if any(name in cell.numbers for cell in cells)), None)


def in_words(metric: str) -> str:
    """What an accuracy is of.

    >>> in_words("acc_stored_100"), in_words("acc_angle_1")
    ('stored test images, all labels', 'test images turned by any angle, 1 % of the labels')
    """
    match = re.fullmatch(r"acc_([a-z]+)_(\d+)", metric)
    if match is None:
        return metric
    views = {
        "stored": "stored test images",
        "grid": "test images moved by a random element of D4",
        "angle": "test images turned by any angle",
    }
    labels = "all labels" if match[2] == "100" else f"{match[2]} % of the labels"
    return f"{views.get(match[1], match[1])}, {labels}"


def differences(
    grid: GridCells, rows: Sequence[Row], twins: Mapping[str, str], metric: str
) -> dict[Kind, list[Pair]]:
    """The pairs of interest, by kind: same group and the twin, same group and `random`, trivial and the same.

    A pair of one and the same network is left out: for the trivial group most pretexts are their own twins.

    Args:
        grid: the cells of one data set.
        rows: its rows, in the order of the table.
        twins: pretext -> its plain twin.
        metric: the column to subtract.
    """
    bases: dict[Kind, list[tuple[Side, Side]]] = {kind: [] for kind in KINDS}
    for row in rows:
        side = Side(row.group, row.pretext)
        if row.pretext in twins:
            bases["twin"].append((side, Side(row.group, twins[row.pretext])))
        if not row.is_reference:
            bases["random"].append((side, Side(row.group, "random")))
        if row.group != PLAIN_GROUP:
            bases["trivial"].append((side, Side(PLAIN_GROUP, row.pretext)))
    return {
        kind: [pair for sides in found if (pair := _pair(grid, sides, metric))]
        for kind, found in bases.items()
    }


def _pair(grid: GridCells, sides: tuple[Side, Side], metric: str) -> Pair | None:
    difference = grid.difference([sides], metric)
    if difference is None or difference.mean == difference.low == difference.high == 0:
        return None
    left, right = sides
    return Pair(
        f"{left.pretext} {left.group} \N{MINUS SIGN} {right.pretext} {right.group}", left, right, difference
    )
