"""Read metrics/grid.csv: the numbers of each cell."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from eqssl.config.grid import IDENTITY
from eqssl.machine.cell_numbers import number
from eqssl.machine.csv_rows import csv_rows

Identity: TypeAlias = tuple[str, str, str, str]
"""Data set, group, pretext and seed of a cell, as they are in the file."""


def grid_rows(path: str | Path) -> dict[Identity, dict[str, float]]:
    """The numbers of each cell that are not empty, by the names of their columns.

    Raises:
        ValueError: a column is missing, a number cannot be read, a cell is there twice, or there is none;
            names the file and the line.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with csv_rows(path) as reader:
        absent = [key for key in IDENTITY if key not in (reader.fieldnames or ())]
        if absent:
            raise ValueError(f"{path}: the header lacks {', '.join(absent)}")
        rows: dict[Identity, dict[str, float]] = {}
        for line in reader:
            place = f"line {reader.line_num}: "
            if None in line or None in line.values():
                raise ValueError(f"{path}: {place}has another number of fields than the header")
            try:
                given = {key: float(text) for key, text in line.items() if key not in IDENTITY and text}
            except ValueError as error:
                raise ValueError(f"{path}: {place}{error}") from None
            dataset, group, pretext, seed = (line[key] for key in IDENTITY)
            identity = (dataset, group, pretext, seed)
            if identity in rows:
                raise ValueError(f"{path}: {place}the same cell stands above")
            rows[identity] = {key: number(path, key, value, place) for key, value in given.items()}
    if not rows:
        raise ValueError(f"{path}: no cells")
    return rows
