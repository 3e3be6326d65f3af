"""Where a number of the table comes from, in words: cells and seeds, data, code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eqssl.config.settings import digest
from eqssl.machine.tracing.tables import section
from eqssl.report.cells import MISSING, Cell
from eqssl.report.tables import Column, Row

_SHOWN = 12


def origin(column: Column, row: Row, written: Sequence[str]) -> str:
    """The seeds that a number is made of, each with value and cell, then the versions of data and code.

    Args:
        column: of the table.
        row: of the table.
        written: the value of each cell that has one, as the table writes it.
    """
    cells = [cell for cell in row.cells if column.key in cell.numbers]
    values = [
        f"seed {cell.seed}: {text} (cell {cell_name(cell)})"
        for cell, text in zip(cells, written, strict=True)
    ]
    versions = [f"{name} {text}" for name, text in _versions(cells) if text]
    return "\n".join([f"{row.group} {row.pretext}", *values, ", ".join(versions)]).rstrip("\n")


def cell_name(cell: Cell) -> str:
    """The digest of a cell's settings, which its folder is called by."""
    return digest(cell.job) if cell.job else MISSING


def _versions(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    return [
        ("data", _each(section(cell.details, "encoder").get("data") for cell in cells)),
        ("code", _each(section(cell.details, "versions").get("code") for cell in cells)),
        ("commit", _each(section(cell.details, "versions").get("commit") for cell in cells)),
    ]


def _each(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(str(value)[:_SHOWN] for value in values if value))
