"""Find the metrics.json that a number was published from, given itself, metrics/cell.json or a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eqssl.config.grid import IDENTITY, short_name
from eqssl.config.plain import did_you_mean, shown
from eqssl.machine.cell_numbers import TARGET, read_metrics
from eqssl.machine.chain import Fault
from eqssl.machine.csv_rows import csv_rows
from eqssl.machine.files import read_json
from eqssl.machine.finetuned import PREFIX as FINE_TUNED
from eqssl.machine.published import difference
from eqssl.machine.records import SEAL
from eqssl.machine.store import published

Text = TypeVar("Text")

MOST_NAMED = 20


@dataclass(frozen=True)
class Located:
    """Where a number's chain begins.

    Attributes:
        metrics: the metrics.json of the cell.
        table: the published copy that was given; None if metrics.json itself was.
        faults: what is wrong with that copy.
    """

    metrics: Path
    table: Path | None = None
    faults: tuple[Fault, ...] = ()


def locate(path: Path, cell: str | None = None) -> Located:
    """Find the metrics.json that a file is, or was copied from.

    Args:
        path: a metrics.json, metrics/cell.json, or a table such as metrics/grid.csv.
        cell: `DATASET/GROUP/PRETEXT/sSEED`, the row of a table; None for the other files.

    Raises:
        ValueError: it is another file, the table has no such row, or no metrics.json of the cell is there.
        OSError: it cannot be read.
    """
    path = path.absolute()
    if not path.exists():
        raise ValueError(f"{path}: there is no such file")
    if path.suffix == ".csv":
        return _of_table(path, cell)
    if cell is not None:
        raise ValueError(f"--cell: given {shown(cell)} with {path}, allowed: with a table such as grid.csv")
    if path.name == "metrics.json":  # the walk says what is wrong with it
        return Located(path)
    values = read_json(path)
    if SEAL in values or not set(IDENTITY) <= values.keys():
        allowed = "the metrics.json of a cell, metrics/cell.json or metrics/grid.csv"
        raise ValueError(f"{path}: is none of the files that hold a cell's numbers, allowed: {allowed}")
    row = {name: str(values[name]) for name in IDENTITY}
    own = _of_metrics(values)
    return _matching(path, row, lambda numbers: None if numbers == own else "other numbers")


def _of_table(path: Path, cell: str | None) -> Located:
    with csv_rows(path) as reader:
        if absent := [name for name in IDENTITY if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{path}: the header lacks {', '.join(absent)}: it is no table of cells")
        if TARGET in (reader.fieldnames or ()):
            allowed = "the metrics.json of the transfer, in the folder on-TARGET-ID of the cell"
            raise ValueError(f"{path}: is a table of transfers, allowed: {allowed}")
        rows = {short_name(row): row for row in reader}
    if cell not in rows:
        names = list(rows)
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        allowed = f"{', '.join(names[:MOST_NAMED])}{more}"
        raise ValueError(f"--cell: given {shown(cell)}, allowed: {allowed}{did_you_mean(cell, names)}")
    row = _of_metrics(rows[cell])
    return _matching(path, row, lambda numbers: difference(row, numbers))


def _of_metrics(values: Mapping[str, Text]) -> dict[str, Text]:
    """The numbers that come from metrics.json: those of fine-tuning are of a file of its own."""
    return {name: value for name, value in values.items() if not name.startswith(FINE_TUNED)}


def _matching(path: Path, row: Mapping[str, str], differs: Callable[[dict[str, Any]], str | None]) -> Located:
    """The metrics.json that a copy was made from.

    Results of other settings lie beside each other, so all of the cell's are compared with the copy. If none
    fits and there is only one, the copy is at fault, or that metrics.json is, which the walk will say.
    """
    name = short_name(row)
    root = path.parent.parent if path.parent.name == "metrics" else Path.cwd()
    place = "results/{dataset}/{group}/{pretext}/s{seed}-*/eval-*/probe-*/metrics.json".format(**row)
    plain = all(re.fullmatch(r"[A-Za-z0-9_]{1,100}", part) for part in map(row.get, IDENTITY) if part)
    reasons: dict[Path, str | None] = {}
    for metrics in sorted(root.glob(place)) if plain else ():
        try:
            reason = differs(published(read_metrics(metrics).values))
        except (ValueError, OSError):
            reasons[metrics] = None
            continue
        if reason is None:
            return Located(metrics, path)
        reasons[metrics] = reason
    if not reasons:
        bring = "`eqssl run` makes the results of a grid, and `dvc pull` brings those that were pushed"
        raise ValueError(f"{path}: {name}: there is no {root / place}; {bring}")
    if len(reasons) > 1:
        listed = ", ".join(map(str, reasons))
        raise ValueError(f"{path}: {name}: is a copy of none of {listed}")
    ((metrics, reason),) = reasons.items()
    fault = Fault(path, f"{path}: differs from {metrics}: {reason}")
    return Located(metrics, path, (fault,) if reason else ())
