"""The numbers of a cell, with those of its fine-tuning where that was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eqssl.config.grid import IDENTITY, long_name
from eqssl.machine.cell_numbers import check_identity, number, refuse
from eqssl.machine.records import Record, read_record

PREFIX = "fine_acc_"
"""What the names of the numbers begin with."""


def read_finetuned(path: Path) -> Record:
    """Read the record of a cell's fine-tuning.

    Raises:
        ValueError: it is damaged, or holds something else; names file and key.
        OSError: it cannot be read.
    """
    record = read_record(path, IDENTITY)
    details = record.values.get("details")
    encoder = details.get("encoder") if isinstance(details, dict) else None
    check_identity(record, encoder.get("job") if isinstance(encoder, dict) else None)
    finetuned_numbers(record)
    return record


def finetuned_numbers(record: Record) -> dict[str, float]:
    """The accuracies after fine-tuning and the ends of their intervals.

    Raises:
        ValueError: one is no number, or no accuracy; names file and key.
    """
    for key in record.values:
        if key not in (*IDENTITY, "job", "details") and not key.startswith(PREFIX):
            refuse(record.path, key, "is no number of a fine-tuning")
    found = {key: value for key, value in record.values.items() if key.startswith(PREFIX)}
    return {key: number(record.path, key, value) for key, value in found.items()}


def finetuned_by_cell(paths: Sequence[str | Path]) -> dict[tuple[Any, ...], Record]:
    """The records of fine-tunings by data set, group, pretext and seed.

    Raises:
        ValueError: one is damaged, or a cell is given twice; names the file.
        OSError: a file cannot be read.
    """
    found: dict[tuple[Any, ...], Record] = {}
    for path in map(Path, paths):
        record = read_finetuned(path)
        cell = cell_of(record)
        if cell in found:
            raise ValueError(f"{path}: the cell {long_name(record.values)} is given twice")
        found[cell] = record
    return found


def cell_of(record: Record) -> tuple[Any, ...]:
    """Data set, group, pretext and seed of a record."""
    return tuple(record.values[key] for key in IDENTITY)


def refuse_left(finetuned: Mapping[tuple[Any, ...], Record]) -> None:
    """Refuse records of fine-tuning that no cell was found for.

    Raises:
        ValueError: there is one; names its file.
    """
    for left in finetuned.values():
        raise ValueError(f"{left.path}: the metrics.json of its cell were not given")


def with_finetuned(numbers: Mapping[str, Any], metrics: Record, finetuned: Record | None) -> dict[str, Any]:
    """The published numbers of a cell with those of its fine-tuning.

    Args:
        numbers: the published part of metrics.json.
        metrics: metrics.json.
        finetuned: finetune.json; None if nothing was fine-tuned.

    Raises:
        ValueError: the two are not of one cell, or not of one encoder; names both files.
    """
    if finetuned is None:
        return dict(numbers)
    for key in IDENTITY:
        if finetuned.values[key] != metrics.values[key]:
            given = f"given {finetuned.values[key]!r}, but {metrics.path} has {metrics.values[key]!r}"
            refuse(finetuned.path, key, given)
    if finetuned.made_of.get("encoder") != metrics.made_of.get("encoder"):
        raise ValueError(f"{finetuned.path}: was not made of the encoder that {metrics.path} was made of")
    return {**numbers, **finetuned_numbers(finetuned)}
