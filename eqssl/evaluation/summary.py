"""The table of all cells: metrics/grid.csv for people and programs, metrics/grid.json for DVC."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eqssl.config.grid import long_name
from eqssl.config.groups import GROUPS as PLANE_GROUPS
from eqssl.evaluation import VIEWS
from eqssl.machine.accuracy_names import AccuracyName
from eqssl.machine.cell_numbers import read_metrics
from eqssl.machine.files import atomic, write_json
from eqssl.machine.finetuned import cell_of, finetuned_by_cell, refuse_left, with_finetuned
from eqssl.machine.grid_means import FIRST, grid_means
from eqssl.machine.published import as_text
from eqssl.machine.store import published

GROUPS = tuple(PLANE_GROUPS)
_OTHERS = ("retrieval_", "agreement_", "reg_agreement_", "turn_r2", "pretext_")
_FINE_TUNED = re.compile(rf"fine_acc_(?P<view>{'|'.join(VIEWS)})_(?P<share>\d+)")


def columns(names: Iterable[str]) -> list[str]:
    """Columns of grid.csv for the views, shares, kinds of probes and stages among the names of metrics.

    First come the columns that name the cell and its cost, then accuracies on the invariant feature, on the
    regular feature, and of nearest neighbours, then accuracies of other kinds of probes and of earlier
    stages, and after fine-tuning, each followed by the ends of its interval. Without accuracies, as for
    images without labels, there are only the first ones.
    """
    names = list(names)
    found = [name for name in map(AccuracyName.read, names) if name and name.view in VIEWS]
    views = sorted({name.view for name in found}, key=VIEWS.index)
    shares = sorted({name.share for name in found})
    kinds = {(name.stage, name.classifier, name.regular) for name in found}
    kinds |= {(1, "logistic", regular) for regular in (False, True)}
    accuracies = [
        [str(AccuracyName(stage, regular, kind, view, share)) for view in views for share in shares]
        for stage, kind, regular in sorted(kinds)
    ]
    metrics = [name for part in accuracies[:2] for name in part]
    metrics += [f"knn_{view}" for view in views]
    metrics += [name for part in accuracies[2:] for name in part]
    fine = [match for match in map(_FINE_TUNED.fullmatch, names) if match]
    views = sorted({match["view"] for match in fine}, key=VIEWS.index)
    metrics += [
        f"fine_acc_{view}_{share}" for view in views for share in sorted({int(m["share"]) for m in fine})
    ]
    return [*FIRST, *(name + end for name in metrics for end in ("", "_lo", "_hi"))]


def other_columns(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Columns of grid.csv for retrieval, turned images and pretexts, in their order in the rows."""
    found = list(dict.fromkeys(name for row in rows for name in row))
    return [name for prefix in _OTHERS for name in found if name.startswith(prefix)]


def summarise(
    metrics: Sequence[str | Path],
    table: str | Path,
    summary: str | Path,
    finetuned: Sequence[str | Path] = (),
) -> None:
    """Write one row per cell into a CSV, and means over the seeds into a JSON.

    The rows are sorted by data set, group (smallest first), pretext and seed. Numbers are written with all
    their digits. What a cell does not have is empty: only label tasks fill the columns `pretext_*`, and data
    sets without labels have no accuracies. The JSON is {dataset: {group: {pretext: {metric: mean}}}} with the
    accuracies, the equivariance error, and the numbers of retrieval, turned images and pretexts, without
    intervals.

    Args:
        metrics: the metrics.json of each cell.
        table: CSV to write.
        summary: JSON to write.
        finetuned: the finetune.json of each cell, in any order; none if nothing was fine-tuned.

    Raises:
        ValueError: no cells, a damaged file, a cell given twice, or cells of one data set with different
            views or shares, or a fine-tuning of a cell that is not given; names the file and the column.
        OSError: a file is missing or cannot be written.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    names: dict[str, list[str]] = {}
    further = finetuned_by_cell(finetuned)
    for path in map(Path, metrics):
        record = read_metrics(path, FIRST)
        values = with_finetuned(published(record.values), record, further.pop(cell_of(record), None))
        row = {key: value for key, value in values.items() if value is not None}
        _check(path, row, names.setdefault(values["dataset"], columns(values)))
        cell = (row["dataset"], GROUPS.index(row["group"]), row["pretext"], row["seed"])
        if cell in rows:
            raise ValueError(f"{path}: the cell {long_name(row)} is given twice")
        rows[cell] = row
    refuse_left(further)
    if not rows:
        raise ValueError("summary: no metrics.json was given")
    ordered = [rows[cell] for cell in sorted(rows)]
    header = columns(name for row in ordered for name in row) + other_columns(ordered)
    with atomic(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([as_text(row.get(name)) for name in header] for row in ordered)
    write_json(summary, grid_means(ordered, header))


def _check(path: Path, row: dict[str, Any], names: Sequence[str]) -> None:
    if row["group"] not in GROUPS:
        raise ValueError(f"{path}: group: given {row['group']!r}, allowed: {', '.join(GROUPS)}")
    for name in [*names, *columns(row)]:
        if name not in row or name not in names:
            reason = f"not in every cell of {row['dataset']}; all need the same views and shares"
            raise ValueError(f"{path}: {name}: {reason}")
