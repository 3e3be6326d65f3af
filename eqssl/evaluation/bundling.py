"""Publish a grid: its table, and which test images were right in its cells, under one name."""

from __future__ import annotations

from pathlib import Path

from eqssl.config import jobs
from eqssl.config.grid import Cell
from eqssl.config.params import Params
from eqssl.evaluation.claims import SECONDARY
from eqssl.evaluation.correct import NAME, read_correct
from eqssl.evaluation.correct_bundle import write_bundle
from eqssl.evaluation.grid_cells import read_grid
from eqssl.machine.store import copy


def bundle(table: Path, params: Params, name: Path, root: Path = Path()) -> None:
    """Write NAME.csv, a copy of the table, and NAME.parquet.

    Args:
        table: metrics/grid.csv.
        params: the settings that name the cells' folders.
        name: path without a suffix.
        root: the folder of the project.

    Raises:
        ValueError: a cell of the table has no such file, or one that does not belong to the table.
        OSError: a file cannot be read or written.
    """
    cells = [cell for grid in read_grid(table, params, root) for cell in grid.numbers]
    tables = {cell: read_correct(_file(params, cell, root)) for cell in cells}
    write_bundle(name.with_suffix(".parquet"), tables, SECONDARY)
    copy(table, name.with_suffix(".csv"))


def _file(params: Params, cell: Cell, root: Path) -> Path:
    path = root / jobs.probe_folder(params, cell) / NAME
    if not path.is_file():
        raise ValueError(f"{path}: missing; the settings must be those that made the table (--configfile)")
    return path
