"""Compare the copies that people and DVC read with the cells that they were taken from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from eqssl.config import jobs
from eqssl.config.grid import IDENTITY
from eqssl.config.params import Params
from eqssl.machine.chain import Chain
from eqssl.machine.csv_rows import csv_rows
from eqssl.machine.files import read_json
from eqssl.machine.grid_means import grid_means
from eqssl.machine.sealed_text import check_sealed_text

Numbers: TypeAlias = Mapping[str, Any]


class Measured(NamedTuple):
    """The published numbers of a cell, and the seals of the records that have them."""

    numbers: Numbers
    seals: tuple[str, ...]


def check_published(chain: Chain, params: Params, root: Path, cell: Measured | None) -> None:
    """Check the existing copies of the active cell.

    Args:
        chain: collects the faults.
        params: the settings.
        root: the folder of the project.
        cell: the active cell's metrics; None if it has none yet.
    """
    if cell is None:
        return
    home, probe = (root / f(params, params.cell) for f in (jobs.cell_folder, jobs.probe_folder))
    copies = {
        root / "model/encoder.safetensors": home / "encoder.safetensors",
        root / "model/encoder.json": home / "encoder.json",
        root / "metrics/predictions.csv": probe / "predictions.csv",
        root / "metrics/loss.csv": home / "loss.csv",
    }
    faulty = {fault.path for fault in chain.faults}
    for copy, original in copies.items():
        if not copy.is_file() or not original.is_file() or original in faulty:
            continue
        # a file of another size need not be read
        other = copy.stat().st_size != original.stat().st_size
        if other or chain.hash_of(copy) != chain.hash_of(original):
            chain.fault(copy, f"{copy}: differs from {original}")
    _check_json(chain, root / "metrics/cell.json", cell.numbers, probe / "metrics.json")


def _check_json(chain: Chain, copy: Path, numbers: Numbers, source: Path) -> None:
    if not copy.is_file():
        return
    try:
        same = read_json(copy) == dict(numbers)
    except ValueError as error:
        chain.fault(copy, str(error))
        return
    if not same:
        chain.fault(copy, f"{copy}: differs from {source}")


def check_grid(chain: Chain, root: Path, cells: Sequence[Measured | None]) -> None:
    """Compare the table and the report of the grid with the metrics of its cells, once all of them exist.

    Args:
        chain: collects the faults.
        root: the folder of the project.
        cells: the metrics of each cell; None if a cell has none yet or is faulty.
    """
    whole = [cell for cell in cells if cell is not None]
    all_there = len(whole) == len(cells)
    if all_there and (root / "metrics/grid.csv").is_file():
        _check_tables(chain, root / "metrics", [cell.numbers for cell in whole])
    seals = [seal for cell in whole for seal in cell.seals]
    _check_page(chain, root / "report/index.html", seals if all_there else None)


def check_data_pages(chain: Chain, params: Params, root: Path) -> None:
    """Compare the page of each data set of the grid with its index.json.

    Args:
        chain: collects the faults.
        params: the settings.
        root: the folder of the project.
    """
    for name in params.grid.dataset:
        index = root / jobs.shard_folder(params, name) / "index.json"
        found = chain.step(index, jobs.shard_job(params, name).digest) if index.exists() else None
        _check_page(chain, root / f"report/data/{name}.html", [found.seal] if found else None)


def _check_page(chain: Chain, page: Path, seals: Sequence[str] | None) -> None:
    """Check a page, if it is there; None stands for records that are not there."""
    if not page.is_file():
        return
    try:
        check_sealed_text(page, seals)
    except ValueError as error:
        chain.fault(page, str(error))


def _check_tables(chain: Chain, folder: Path, cells: Sequence[Numbers]) -> None:
    """Check grid.csv, and if that is right grid.json, which has the means of its rows."""
    table, means = folder / "grid.csv", folder / "grid.json"
    found = check_rows(chain, table, cells)
    if found is not None:
        _check_json(chain, means, grid_means(*found), table)


def check_rows(
    chain: Chain, table: Path, cells: Sequence[Numbers], names: Sequence[str] = IDENTITY
) -> tuple[list[Numbers], Sequence[str]] | None:
    """Compare the rows of a table with the numbers that they were taken from.

    Args:
        chain: collects the faults.
        table: the CSV.
        cells: the numbers of each row, in any order.
        names: the columns that name a row.

    Returns:
        The numbers in the order of the rows, and the columns; None if the table is at fault.
    """
    known = {_identity(cell, names): cell for cell in cells}
    expected = dict(known)
    try:
        with csv_rows(table) as reader:
            rows, header = list(reader), reader.fieldnames or ()
    except ValueError as error:
        chain.fault(table, str(error))
        return None
    reasons = [difference(row, expected.pop(_identity(row, names), None), names) for row in rows]
    reasons += [f"{' '.join(identity)}: missing" for identity in expected]
    if reason := next(filter(None, reasons), None):
        chain.fault(table, f"{table}: {reason}")
        return None
    return [known[_identity(row, names)] for row in rows], header


def difference(row: Mapping[str, str], cell: Numbers | None, names: Sequence[str] = IDENTITY) -> str | None:
    """How a row of grid.csv differs from the metrics of its cell; None if it does not."""
    name = " ".join(_identity(row, names))
    if cell is None:
        return f"{name}: is not a cell of this grid"
    wrong = [column for column, text in row.items() if text != as_text(cell.get(column))]
    return f"{name}: {wrong[0]}: differs from the metrics of the cell" if wrong else None


def _identity(values: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(values.get(name)) for name in names)


def as_text(value: object) -> str:
    """A value as it is in grid.csv: the shortest text that reads back as the same number, or "" for None."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
