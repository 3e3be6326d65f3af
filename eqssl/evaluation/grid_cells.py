"""The cells of a grid as comparisons need them: the numbers of grid.csv, and which images were right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from eqssl.config import jobs
from eqssl.config.grid import Cell
from eqssl.config.params import Params
from eqssl.evaluation.correct import NAME, digest_of_keys, read_correct
from eqssl.evaluation.correct_bundle import Shares, read_bundle
from eqssl.evaluation.paired import Difference, paired_difference, seed_difference
from eqssl.machine.files import read_json
from eqssl.machine.grid_rows import grid_rows

CLOSE = 1e-9
IMAGES = "test_images"
"""Key of a bundle's JSON file: data set -> digest of the keys of its test images."""


class Side(NamedTuple):
    """One side of a comparison: a group and a pretext, in all seeds."""

    group: str
    pretext: str


@dataclass(frozen=True)
class GridCells:
    """The cells of one data set.

    Attributes:
        dataset: its name.
        numbers: the numbers of each cell that are not empty, by the names of their columns.
        right: the share of the probes that were right about each test image, by metric; empty for a cell of
            which only the accuracies are known.
        images: digest of the keys of the test images, where they are known.
    """

    dataset: str
    numbers: Mapping[Cell, Mapping[str, float]]
    right: Mapping[Cell, Shares]
    images: str | None = None

    def groups(self) -> tuple[str, ...]:
        """The groups that occur, in the order of the rows."""
        return tuple(dict.fromkeys(cell.group for cell in self.numbers))

    def seeds(self, side: Side, metric: str) -> set[int]:
        """The seeds with which there is a number."""
        return {
            cell.seed
            for cell, numbers in self.numbers.items()
            if (cell.group, cell.pretext) == side and metric in numbers
        }

    def common_seeds(self, pairs: Sequence[tuple[Side, Side]], metric: str) -> list[int]:
        """The seeds that all sides of all pairs have."""
        found = [self.seeds(side, metric) for pair in pairs for side in pair]
        return sorted(set.intersection(*found)) if found else []

    def difference(self, pairs: Sequence[tuple[Side, Side]], metric: str) -> Difference | None:
        """The mean over pairs of the first side's accuracy less the second's; None without a common seed.

        It is over seeds and images where all cells say which images were right, else over seeds.
        """
        seeds = self.common_seeds(pairs, metric)
        if not seeds:
            return None
        rows = [self._row(pairs, metric, seed) for seed in seeds]
        known = [row for row in rows if row is not None]
        if len(known) == len(rows):
            return paired_difference(np.stack(known))
        return seed_difference([self._mean(pairs, metric, seed) for seed in seeds])

    def _cell(self, side: Side, seed: int) -> Cell:
        return Cell.read({"dataset": self.dataset, **side._asdict(), "seed": seed})

    def _row(
        self, pairs: Sequence[tuple[Side, Side]], metric: str, seed: int
    ) -> Float[np.ndarray, " images"] | None:
        total: Float[np.ndarray, " images"] | None = None
        for pair in pairs:
            left, right = (self.right.get(self._cell(side, seed), {}).get(metric) for side in pair)
            if left is None or right is None:
                return None
            total = left - right if total is None else total + (left - right)
        return None if total is None else total / len(pairs)

    def _mean(self, pairs: Sequence[tuple[Side, Side]], metric: str, seed: int) -> float:
        differences = []
        for pair in pairs:
            left, right = (self.numbers[self._cell(side, seed)][metric] for side in pair)
            differences.append(left - right)
        return math.fsum(differences) / len(differences)


def read_grid(table: str | Path, params: Params | None = None, root: Path = Path()) -> list[GridCells]:
    """Read a grid.csv, and which images were right in its cells.

    The images are in a file beside it, of the same name with the suffix `.parquet` (`eqssl claims --bundle`
    writes one), or else in the cells' folders. Where a cell has neither, its accuracies alone are known.

    Args:
        table: the CSV file.
        params: the settings that name the cells' folders; None to look beside the table alone.
        root: the folder of the project.

    Returns:
        The cells of each data set.

    Raises:
        ValueError: a damaged file, or images that do not belong to the accuracies; names file and column.
        OSError: the table cannot be read.
    """
    table = Path(table)
    numbers = _numbers(table)
    beside = table.with_suffix(".parquet")
    bundled = beside.is_file()
    right: Mapping[Cell, Shares]
    if bundled:
        right, images = read_bundle(beside), _bundled_images(table.with_suffix(".json"))
    else:
        right, images = _from_folders(numbers, params, root)
    for cell, shares in right.items():
        _check(beside if bundled else root, cell, numbers.get(cell, {}), shares)
    return [
        GridCells(
            name,
            {cell: values for cell, values in numbers.items() if cell.dataset == name},
            {cell: shares for cell, shares in right.items() if cell.dataset == name},
            images.get(name),
        )
        for name in dict.fromkeys(cell.dataset for cell in numbers)
    ]


def _bundled_images(path: Path) -> Mapping[str, str]:
    """The digests of test images that a bundle names; none in an older one."""
    if not path.is_file():
        return {}
    found = read_json(path).get(IMAGES, {})
    if not isinstance(found, dict) or not all(isinstance(digest, str) for digest in found.values()):
        raise ValueError(f"{path}: {IMAGES}: allowed: a digest for each data set")
    return found


def _numbers(table: Path) -> dict[Cell, dict[str, float]]:
    found: dict[Cell, dict[str, float]] = {}
    for identity, numbers in grid_rows(table).items():
        name = " ".join(identity)
        dataset, group, pretext, seed = identity
        if not seed.isdecimal():
            raise ValueError(f"{table}: {name}: seed: given {seed!r}, allowed: a whole number")
        values = {"dataset": dataset, "group": group, "pretext": pretext, "seed": int(seed)}
        found[Cell.read(values, f"{table}: {name}")] = numbers
    return found


def _from_folders(
    numbers: Mapping[Cell, object], params: Params | None, root: Path
) -> tuple[dict[Cell, Shares], dict[str, str]]:
    """Which images were right, and the digests of the test images of each data set."""
    found, images = dict[Cell, Shares](), dict[str, str]()
    for cell in numbers if params else ():
        if params is None or cell.dataset not in params.datasets or cell.pretext not in params.pretexts:
            continue
        path = root / jobs.probe_folder(params, cell) / NAME
        if path.is_file():
            table = read_correct(path)
            found[cell] = {metric: table.shares(metric) for metric in table.counts}
            images[cell.dataset] = digest_of_keys(table.keys)
    return found, images


def _check(source: Path, cell: Cell, numbers: Mapping[str, float], shares: Shares) -> None:
    for metric, values in shares.items():
        if metric in numbers and abs(float(values.mean()) - numbers[metric]) > CLOSE:
            raise ValueError(
                f"{source}: {cell}: {metric}: the images give {values.mean():.6f}, the table has "
                f"{numbers[metric]:.6f}: they are of different runs"
            )
