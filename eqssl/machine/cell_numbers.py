"""Which cell a record is of, and its numbers, each found to be of the right kind.

A seal tells that a record is the one that a step wrote, not that the step wrote what it should.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from eqssl.config.grid import IDENTITY
from eqssl.config.plain import shown
from eqssl.machine import accuracy_names
from eqssl.machine.records import Record, read_record

LARGEST = 2**63 - 1
TARGET = "target"
"""The key by which a record of a transfer names the data set that was read."""
COUNTS = ("parameters", "flops", "epochs", "seconds", "seconds_pretrain", "error", "equivariance_error")
"""Numbers that are never negative."""
ACCURACY = re.compile(
    rf"acc|{accuracy_names.PATTERN}|fine_acc_[a-z]+_\d+|(?:reg_)?agreement_[a-z]+"
    r"|knn_[a-z]+|retrieval_(?:hit_\d+|mrr)|mrr|hit_rate_\d+"
    r"|pretext_(?:.+_)?(?:accuracy|accuracy_apart|chance|orbit_ceiling|turn_found)"
)


def read_metrics(path: Path, needed: Sequence[str] = IDENTITY) -> Record:
    """Read the record of a cell's metrics, whose values are its identity, its numbers, and `details`.

    Args:
        path: the JSON file.
        needed: keys that it must have.

    Raises:
        ValueError: it is damaged, or holds something else; names file and key.
        OSError: it cannot be read.
    """
    record = read_record(path, needed)
    if TARGET in record.values:
        refuse(path, TARGET, "is of features on another data set, expected those of a cell on its own")
    check_metrics(record)
    return record


def check_metrics(record: Record) -> None:
    """Refuse a record of metrics that names no cell, or whose numbers are none.

    Raises:
        ValueError: names file and key.
    """
    details = record.values.get("details", {})
    if not isinstance(details, dict):
        refuse(record.path, "details", f"given {shown(details)}, expected a table")
    encoder = details.get("encoder")
    check_identity(record, encoder.get("job") if isinstance(encoder, dict) else None)
    top_numbers(record)


def check_identity(record: Record, job: object) -> None:
    """Refuse a record that names no cell, or another one than the job that made the encoder.

    Args:
        record: the record.
        job: that job, if it is known.

    Raises:
        ValueError: names file and key.
    """
    of_job = job if isinstance(job, Mapping) else {}
    for key in IDENTITY:
        given = record.values.get(key)
        if key == "seed":
            right = type(given) is int and 0 <= given <= LARGEST
        else:
            right = (
                isinstance(given, str)
                and re.fullmatch(r"[^\x00-\x1f\ud800-\udfff]{1,100}", given) is not None
            )
        if not right:
            kind = "an integer" if key == "seed" else "a name"
            refuse(record.path, key, f"given {shown(given)}, expected {kind}")
        if of_job.get(key, given) != given:
            refuse(record.path, key, f"given {given!r}, but its job has {shown(of_job[key])}")


def top_numbers(record: Record) -> dict[str, float]:
    """The numbers beside a cell's identity, by their names in metrics/grid.csv."""
    named = (*IDENTITY, TARGET, "details")
    rest = {key: value for key, value in record.values.items() if key not in named}
    return numbers(record.path, rest)


def numbers(path: Path, values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a table, without nulls. Accuracies must be in [0, 1], ends of intervals need not.

    Args:
        path: the file, for messages.
        values: the table.
        prefix: of its keys, for messages.

    Raises:
        ValueError: one is no number; names file and key.
    """
    return {key: number(path, key, value, prefix) for key, value in values.items() if value is not None}


def number(path: Path, key: str, value: object, prefix: str = "") -> float:
    """A finite number.

    Raises:
        ValueError: it is none, an accuracy outside of [0, 1], or less than nothing; names file and key.
    """
    # an integer of 400 digits is finite, but no float
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        refuse(path, prefix + key, f"given {shown(value)}, expected a finite number")
    if ACCURACY.fullmatch(key) and not 0 <= value <= 1:
        refuse(path, prefix + key, f"given {value!r}, expected an accuracy between 0 and 1")
    if key in COUNTS and value < 0:
        refuse(path, prefix + key, f"given {value!r}, expected 0 or more")
    return float(value)


def refuse(path: Path, key: str, reason: str) -> NoReturn:
    """Raise the ValueError for a damaged file."""
    raise ValueError(f"{path}: {key}: {reason}")
