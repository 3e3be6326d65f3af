"""Gather the metrics of transfers in one table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eqssl.config.grid import long_name
from eqssl.config.groups import GROUPS
from eqssl.evaluation.summary import columns, other_columns
from eqssl.machine.cell_numbers import TARGET
from eqssl.machine.files import atomic
from eqssl.machine.published import as_text
from eqssl.machine.store import published
from eqssl.machine.transferred import NAMES, read_transferred


def write_transfer_table(metrics: Sequence[str | Path], table: str | Path) -> None:
    """Write one row for each cell and target into a CSV.

    The rows are sorted by target, data set of the encoder, group (smallest first), pretext and seed. The
    first column is the target, and the others are those of metrics/grid.csv, as far as they were measured.
    What a row does not have is empty.

    Args:
        metrics: the metrics.json of each transfer.
        table: CSV to write.

    Raises:
        ValueError: no transfers, a damaged file, a cell of its own data set, or one given twice; names the
            file.
        OSError: a file is missing or cannot be written.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    groups = tuple(GROUPS)
    for path in map(Path, metrics):
        row = published(read_transferred(path).values)
        target, dataset, group, pretext, seed = (row[name] for name in NAMES)
        if group not in groups:
            raise ValueError(f"{path}: group: given {group!r}, allowed: {', '.join(groups)}")
        key = (target, dataset, groups.index(group), pretext, seed)
        if key in rows:
            raise ValueError(f"{path}: {long_name(row)} on {target} is given twice")
        rows[key] = {name: value for name, value in row.items() if value is not None}
    if not rows:
        raise ValueError("transfer-table: no metrics.json was given")
    ordered = [rows[key] for key in sorted(rows)]
    header = [TARGET, *columns(name for row in ordered for name in row), *other_columns(ordered)]
    with atomic(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([as_text(row.get(name)) for name in header] for row in ordered)
