"""What training warned of, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eqssl.machine.tracing.tables import section
from eqssl.report.cells import Cell


def training_warnings(cells: Sequence[Cell]) -> list[str]:
    """A sentence for each cell and warning, from `warnings` of its pretrain.json."""
    return [text for cell in cells for text in _warnings(cell)]


def _warnings(cell: Cell) -> list[str]:
    trained = section(cell.details, "pretrain")
    listed, epochs = trained.get("warnings"), trained.get("epochs")
    if not isinstance(listed, list):
        return []
    return [f"{cell.name}: {_when(entry, epochs)}: {entry['text']}" for entry in listed if _is_warning(entry)]


def _is_warning(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("text"), str)
        and all(type(entry.get(key)) is int for key in ("first_epoch", "last_epoch"))
    )


def _when(entry: dict[str, Any], epochs: Any) -> str:
    first, last = entry["first_epoch"], entry["last_epoch"]
    if last == epochs:
        return f"in training, from epoch {first} to the end"
    return f"in training, epoch {first}" if first == last else f"in training, epochs {first} to {last}"
