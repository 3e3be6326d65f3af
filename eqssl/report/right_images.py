"""Which test images the probes of a cell were right about, as paired comparisons read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eqssl.evaluation.correct import NAME, CorrectTable, read_correct
from eqssl.evaluation.grid_cells import CLOSE
from eqssl.machine.cell_numbers import refuse
from eqssl.machine.records import Record


@dataclass(frozen=True)
class Right(Mapping[str, Float[np.ndarray, " images"]]):
    """Metric -> share of the probes that were right about each test image, made when it is asked for."""

    table: CorrectTable

    def __getitem__(self, metric: str) -> Float[np.ndarray, " images"]:
        return self.table.shares(metric)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.counts)

    def __len__(self) -> int:
        return len(self.table.counts)


def read_right(record: Record, numbers: Mapping[str, float]) -> CorrectTable | None:
    """Which test images the probes of a cell were right about; None if its record names no such file.

    Args:
        record: metrics.json.
        numbers: its accuracies, which have to be the means over the images.

    Raises:
        ValueError: the file is damaged, or belongs to other accuracies; names file and metric.
        OSError: it cannot be read.
    """
    if NAME not in record.files:
        return None
    table = read_correct(record.file(NAME))
    for metric in table.counts:
        if metric in numbers and len(table.keys):
            mean = float(table.shares(metric).mean())
            if abs(mean - numbers[metric]) > CLOSE:
                refuse(record.path, metric, f"given {numbers[metric]:.6f}, but {NAME} gives {mean:.6f}")
    return table
