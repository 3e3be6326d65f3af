"""Files of a cell that the report reads for pictures, found to belong to its metrics: features, weights."""

from __future__ import annotations

from pathlib import Path

from eqssl.machine.records import Record, read_record
from eqssl.report.cells import Cell

EVALUATION, ENCODER = "equivariance", "encoder"


def evaluation_of(cell: Cell) -> Record | None:
    """equivariance.json, the record of the cell's feature files; None if it is not there.

    Raises:
        ValueError: it is damaged, or the metrics were made of another one; names the file.
    """
    return _record(cell, cell.path.parent.parent / "equivariance.json", EVALUATION)


def encoder_of(cell: Cell) -> Record | None:
    """encoder.json, the record of the cell's weights; None if it is not there."""
    return _record(cell, cell.home / "encoder.json", ENCODER)


def _record(cell: Cell, path: Path, name: str) -> Record | None:
    if not path.is_file():
        return None
    metrics = read_record(cell.path)
    if name in metrics.made_of:
        record = read_record(path)
        metrics.check_made_of(**{name: record})
        return record
    return None
