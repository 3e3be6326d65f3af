"""What labels a data set has, in sentences: why it has no accuracies, or how many images they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eqssl.data.shards.index import SPLIT_WORDS
from eqssl.machine.tracing.tables import section
from eqssl.report.cells import Cell
from eqssl.report.tables import Row


def has_accuracies(cells: Sequence[Cell]) -> bool:
    """Whether any cell has an accuracy of a probe."""
    return any(key.startswith(("acc_", "knn_")) for cell in cells for key in cell.numbers)


def label_notes(rows: Sequence[Row]) -> list[str]:
    """The sentences about one data set, each once."""
    cells = [cell for row in rows for cell in row.cells]
    return list(dict.fromkeys(text for cell in cells for text in _notes(cell)))


def _notes(cell: Cell) -> list[str]:
    reason = cell.details.get("probes")
    if isinstance(reason, str):
        return [f"No accuracies: {reason}. What needs no labels was measured all the same."]
    known = [text for split, name in SPLIT_WORDS.items() if (text := _known(cell, split, name))]
    return [f"Accuracies are about images with a label alone: {', '.join(known)}."] if known else []


def _known(cell: Cell, split: str, name: str) -> str | None:
    """How many images of a split have a label; None if all have one, or if it was not recorded."""
    counts = section(section(cell.details, "labels"), split)
    labelled, images = counts.get("labelled"), counts.get("images")
    if not isinstance(labelled, int) or not isinstance(images, int) or labelled == images:
        return None
    return f"{labelled:,} of {images:,} {name} images"


def left_out(details: Mapping[str, object]) -> list[str]:
    """What could not be measured because too few images have a label."""
    listed = details.get("left_out")
    return [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
