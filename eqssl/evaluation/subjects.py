"""Find what `eqssl compare` is asked for: a cell's files, cells of the grid, or an experiment of DVC."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eqssl.config.grid import Cell, short_name
from eqssl.config.plain import did_you_mean, shown
from eqssl.evaluation.comparison import Subject
from eqssl.evaluation.correct import NAME, digest_of_keys, read_correct
from eqssl.evaluation.correct_bundle import Shares
from eqssl.evaluation.grid_cells import GridCells, Side
from eqssl.machine.cell_numbers import read_metrics, top_numbers
from eqssl.machine.experiments import experiment_files
from eqssl.machine.grid_means import FIRST
from eqssl.machine.tracing.locating import locate

FULL = "acc_stored_100"


def subject(text: str, grids: Sequence[GridCells]) -> Subject:
    """What a text names.

    Args:
        text: the path of a metrics.json or of its folder, or of metrics/cell.json;
            `[DATASET/]GROUP/PRETEXT[/sSEED]` of the grid; or the name of a DVC experiment or any other git
            revision.
        grids: the cells of the grid.

    Raises:
        ValueError: nothing has this name, or its files are damaged.
        OSError: a file cannot be read.
    """
    path = Path(text)
    if path.exists():
        return of_cell(path / "metrics.json" if path.is_dir() else path)
    if found := _of_grid(text, grids):
        return found
    try:
        return of_experiment(text)
    except ValueError as error:
        reason = f"{error}; no file or cell of the grid has this name either"
        raise ValueError(f"{reason}{did_you_mean(text, _names(grids, text.count('/')))}") from None


def of_cell(path: Path) -> Subject:
    """A finished cell, from its metrics.json and the correct.parquet beside it.

    Args:
        path: that metrics.json, or metrics/cell.json, which is a copy of it.
    """
    if path.suffix == ".csv":
        raise ValueError(f"{path}: is a table, allowed: with --grid, and one of its cells as GROUP/PRETEXT")
    located = locate(path)
    if located.faults:
        raise ValueError("; ".join(fault.reason for fault in located.faults))
    record = read_metrics(located.metrics, FIRST)
    table = read_correct(record.file(NAME))
    seed = int(record.values["seed"])
    shares = {metric: table.shares(metric) for metric in table.counts}
    images = digest_of_keys(table.keys)
    return Subject(short_name(record.values), {seed: top_numbers(record)}, {seed: shares}, images)


def _of_grid(text: str, grids: Sequence[GridCells]) -> Subject | None:
    """Cells of the grid; None if it has none of this name.

    Raises:
        ValueError: the name fits cells of several data sets or tables.
    """
    words = text.split("/")
    seed = words.pop()[1:] if len(words) > 2 and words[-1][:1] == "s" and words[-1][1:].isdecimal() else None
    if not 2 <= len(words) <= 3:
        return None
    *dataset, group, pretext = words
    chosen = [
        (cells, named)
        for cells in grids
        if dataset in ([], [cells.dataset]) and (named := _named(cells, Side(group, pretext), seed))
    ]
    if len(chosen) > 1:
        raise ValueError(_several(text, [cells.dataset for cells, _ in chosen]))
    if not chosen:
        return None
    ((cells, named),) = chosen
    right = {cell.seed: cells.right[cell] for cell in named if cell in cells.right}
    return Subject(text, {cell.seed: cells.numbers[cell] for cell in named}, right, cells.images)


def _named(cells: GridCells, side: Side, seed: str | None) -> list[Cell]:
    """The cells of a group and pretext, with one seed or with all."""
    every = (cell for cell in cells.numbers if (cell.group, cell.pretext) == side)
    return [cell for cell in every if seed in (None, str(cell.seed))]


def _several(text: str, datasets: list[str]) -> str:
    names = list(dict.fromkeys(datasets))
    if len(names) == 1:
        return f"{text}: is in several tables, allowed: one --grid that has it"
    return (
        f"{text}: is in the data sets {', '.join(names)}, allowed: its data set before it, {names[0]}/{text}"
    )


def _names(grids: Sequence[GridCells], slashes: int) -> list[str]:
    """The names of cells and entries of the grid that have so many slashes."""
    whole = {short_name(cell.model_dump()) for cells in grids for cell in cells.numbers}
    names = {"/".join(name.split("/")[start:end]) for name in whole for start in (0, 1) for end in (3, 4)}
    return sorted(name for name in names if name.count("/") == slashes)


def of_experiment(name: str) -> Subject:
    """The active cell of an experiment or revision, from metrics/cell.json and metrics/predictions.csv."""
    files = experiment_files(name, ("metrics/cell.json", "metrics/predictions.csv"))
    try:
        values = json.loads(files["metrics/cell.json"])
        numbers = {
            key: float(value)
            for key, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        seed = int(values["seed"])
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"experiment {shown(name)}: metrics/cell.json: damaged: {error}") from None
    shares, labels = _predicted(files.get("metrics/predictions.csv"), numbers)
    known = None if labels is None else [str(values.get("dataset")), *labels]
    return Subject(name, {seed: numbers}, {seed: shares}, labels=known)


def _predicted(predictions: bytes | None, numbers: dict[str, float]) -> tuple[Shares, list[str] | None]:
    """Which test images the full probe was right about, and their labels; neither if not of this cell."""
    if predictions is None or FULL not in numbers:
        return {}, None
    rows = list(csv.DictReader(io.StringIO(predictions.decode("utf-8", "replace"))))
    right = np.array([row.get("actual") == row.get("predicted") for row in rows], float)
    if not len(right) or abs(right.mean() - numbers[FULL]) >= 1e-9:
        return {}, None
    return {FULL: right}, [str(row.get("actual")) for row in rows]
