"""Means over seeds of the metrics of a grid: the content of metrics/grid.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eqssl.config.grid import IDENTITY

FIRST = (
    *IDENTITY,
    "parameters",
    "flops",
    "epochs",
    "equivariance_error",
    "seconds_pretrain",
)
"""The first columns of metrics/grid.csv, which every cell has."""


def grid_means(rows: Sequence[Mapping[str, Any]], header: Sequence[str]) -> dict[str, Any]:
    """Data set -> group -> pretext -> mean over seeds of each number.

    Args:
        rows: the published numbers of each cell, in the order of metrics/grid.csv.
        header: names of the columns there. Ends of intervals have no mean.
    """
    kept = [name for name in header[len(FIRST) :] if not name.endswith(("_lo", "_hi"))]
    cells: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["dataset"], row["group"], row["pretext"]), []).append(row)
    result: dict[str, Any] = {}
    for (dataset, group, pretext), seeds in cells.items():
        names = [*kept, "equivariance_error"]
        found = {name: [row[name] for row in seeds if row.get(name) is not None] for name in names}
        result.setdefault(dataset, {}).setdefault(group, {})[pretext] = {
            name: sum(values) / len(values) for name, values in found.items() if values
        }
    return result
