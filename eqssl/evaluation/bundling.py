"""Publish a grid: its table, which test images were right, and on what and by which code it was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eqssl.config import jobs
from eqssl.config.grid import Cell, short_name
from eqssl.config.params import Params
from eqssl.evaluation.claims import SECONDARY
from eqssl.evaluation.correct import NAME, digest_of_keys, read_correct
from eqssl.evaluation.correct_bundle import write_bundle
from eqssl.evaluation.grid_cells import IMAGES, read_grid
from eqssl.machine.cell_numbers import read_metrics
from eqssl.machine.files import write_json
from eqssl.machine.records import Record
from eqssl.machine.store import copy
from eqssl.machine.tracing.tables import section

STEPS = {"pretrain": ("details", "pretrain"), "features": ("details", "equivariance"), "probe": ("details",)}
"""Where metrics.json has the versions of each step."""


def bundle(table: Path, params: Params, name: Path, root: Path = Path()) -> None:
    """Write NAME.csv, a copy of the table, NAME.parquet with the images, and NAME.json with versions.

    The versions are those of data, code and libraries, and a digest of the keys of the test images.

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
    tables = {cell: read_correct(_file(params, cell, root, NAME)) for cell in cells}
    records = [read_metrics(_file(params, cell, root, "metrics.json")) for cell in cells]
    made = {
        "data": data_versions(records),
        IMAGES: {cell.dataset: digest_of_keys(table.keys) for cell, table in tables.items()},
        **versions(records),
    }
    write_bundle(name.with_suffix(".parquet"), tables, SECONDARY)
    write_json(name.with_suffix(".json"), made)
    copy(table, name.with_suffix(".csv"))


def data_versions(records: Sequence[Record]) -> dict[str, str]:
    """Data set -> the digest of its shards, of those that the metrics.json of each cell names.

    Raises:
        ValueError: cells of one data set were trained on different versions of it; names two of them.
    """
    found: dict[str, tuple[str, Path]] = {}
    for record in records:
        version = section(record.values, "details", "encoder").get("data")
        if version is not None:
            first, path = found.setdefault(record.values["dataset"], (version, record.path))
            if version != first:
                raise ValueError(f"{record.path}: data: is of another version than {path}")
    return {dataset: version for dataset, (version, _) in found.items()}


def versions(records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """On what hardware and by which code cells were made.

    Args:
        records: the metrics.json of each cell.

    Returns:
        For each of the steps `pretrain`, `features` and `probe` a list of what differs: versions of code and
        libraries, hardware (`processor`, `cores`, `gpus`, `device`), and the names of the `cells` made so.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {step: {} for step in STEPS}
    for record in records:
        for step, keys in STEPS.items():
            made = section(record.values, *keys)
            device = {"device": made["device"]} if "device" in made else {}
            entry = {**section(made, "versions"), **device}
            same = found[step].setdefault(json.dumps(entry, sort_keys=True), {**entry, "cells": []})
            same["cells"].append(short_name(record.values))
    return {step: list(entries.values()) for step, entries in found.items()}


def _file(params: Params, cell: Cell, root: Path, name: str) -> Path:
    path = root / jobs.probe_folder(params, cell) / name
    if not path.is_file():
        raise ValueError(f"{path}: missing; the settings must be those that made the table (--configfile)")
    return path
