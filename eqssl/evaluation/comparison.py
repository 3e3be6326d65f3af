"""Two cells, or two sets of cells of several seeds, compared number by number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from eqssl.evaluation.correct_bundle import Shares
from eqssl.evaluation.paired import Difference, paired_difference, seed_difference

_COMPARED = re.compile(r"(?!.*_(lo|hi)$)\w*(acc_|knn_|agreement_|retrieval_|accuracy|_r2)\w*")


class Subject(NamedTuple):
    """One side of a comparison.

    Attributes:
        name: for people.
        numbers: seed -> the numbers of the cell, by their names in metrics/grid.csv.
        right: seed -> the share of the probes that were right about each test image, by metric.
        images: digest of the keys of the test images; None if they are not known.
        labels: the data set, and the labels of the test images in their order; None if they are not known.
    """

    name: str
    numbers: Mapping[int, Mapping[str, float]]
    right: Mapping[int, Shares]
    images: str | None = None
    labels: list[str] | None = None


class Line(NamedTuple):
    """One number of a comparison.

    Attributes:
        metric: its name.
        first, second: mean over the seeds that both have.
        difference: the first less the second.
    """

    metric: str
    first: float
    second: float
    difference: Difference


class Comparison(NamedTuple):
    """What two subjects have in common.

    Attributes:
        lines: one for each number that both have in all common seeds.
        seeds: the pairs of seeds that were compared.
        note: what the intervals speak of.
    """

    lines: list[Line]
    seeds: list[tuple[int, int]]
    note: str


def compare(first: Subject, second: Subject) -> Comparison:
    """Compare two subjects by the seeds that both have; single cells also with different seeds.

    Args:
        first: one side.
        second: what is subtracted from it.

    Raises:
        ValueError: they have no common seed, or no number that can be compared.
    """
    seeds = _seeds(first, second)
    lines = []
    for metric in _common(first, second, seeds):
        difference = _difference(first, second, seeds, metric)
        of_first = float(np.mean([first.numbers[seed][metric] for seed, _ in seeds]))
        of_second = float(np.mean([second.numbers[seed][metric] for _, seed in seeds]))
        lines.append(Line(metric, of_first, of_second, difference))
    if not lines:
        raise ValueError(f"{first.name} and {second.name} have no accuracy in common")
    return Comparison(lines, seeds, _note(lines, seeds, _same_images(first, second)))


def _seeds(first: Subject, second: Subject) -> list[tuple[int, int]]:
    common = sorted(set(first.numbers) & set(second.numbers))
    if common:
        return [(seed, seed) for seed in common]
    if len(first.numbers) == len(second.numbers) == 1:
        return list(zip(first.numbers, second.numbers, strict=True))
    shown = [f"{subject.name} has {', '.join(map(str, subject.numbers))}" for subject in (first, second)]
    raise ValueError(f"no common seed: {'; '.join(shown)}")


def _common(first: Subject, second: Subject, seeds: list[tuple[int, int]]) -> list[str]:
    """Names of the accuracies and the like that both have in all seeds, in the order of the first."""
    start = first.numbers[seeds[0][0]]
    return [
        metric
        for metric in start
        if _COMPARED.fullmatch(metric)
        and all(metric in first.numbers[a] and metric in second.numbers[b] for a, b in seeds)
    ]


def _same_images(first: Subject, second: Subject) -> bool:
    """Whether the test images may be the same: nothing known says that they are not."""
    pairs = (first.images, second.images), (first.labels, second.labels)
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def _difference(first: Subject, second: Subject, seeds: list[tuple[int, int]], metric: str) -> Difference:
    rows = []
    for a, b in seeds if _same_images(first, second) else ():
        left, right = first.right.get(a, {}).get(metric), second.right.get(b, {}).get(metric)
        if left is None or right is None or len(left) != len(right):
            break
        rows.append(left - right)
    if len(rows) == len(seeds):
        return paired_difference(np.stack(rows))
    return seed_difference([first.numbers[a][metric] - second.numbers[b][metric] for a, b in seeds])


def _note(lines: list[Line], seeds: list[tuple[int, int]], same_images: bool) -> str:
    """What the intervals speak of."""
    by_image = any(line.difference.images for line in lines)
    if len(seeds) == 1:
        if not same_images:
            return "One seed, and other test images: no interval is known"
        if not by_image:
            hint = "name the --configfile of the run, if it had one"
            return f"One seed, and accuracies alone: no interval is known ({hint})"
        other = "" if seeds[0][0] == seeds[0][1] else f" (seed {seeds[0][0]} against seed {seeds[0][1]})"
        return f"One seed{other}: the interval is over test images, and says nothing of another training"
    over = "seeds and test images" if by_image else "seeds" if same_images else "seeds; other test images"
    return f"{len(seeds)} seeds, paired; 95 % interval over {over}"
