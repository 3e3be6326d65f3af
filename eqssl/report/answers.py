"""The first screen of the report: which pretext won, by how much, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eqssl.config.claims import Claim
from eqssl.evaluation.claims import Pair, Verdict, verdicts
from eqssl.evaluation.grid_cells import GridCells, Side
from eqssl.report.cells import Cell
from eqssl.report.charts import Chart
from eqssl.report.differences import Kind, comparable, differences, grid_cells, in_words, primary_metric
from eqssl.report.forest_chart import forest
from eqssl.report.tables import Row
from eqssl.report.verdict_text import NOT_REPEATED, chance, counted, points


class Answers(NamedTuple):
    """What the cells of one data set say.

    Attributes:
        dataset: its name.
        winner: sentences about the best self-supervised encoder, the first of which names it.
        verdicts: what is known of each claim.
        pairs: the differences by kind, as in the forest plot.
        forest: the plot; it has no panels if there is nothing to compare.
    """

    dataset: str
    winner: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    pairs: Mapping[Kind, Sequence[Pair]]
    forest: Chart


def answers(
    dataset: str,
    cells: Sequence[Cell],
    rows: Sequence[Row],
    twins: Mapping[str, str],
    claims: Sequence[Claim],
) -> Answers | None:
    """The answers of one data set; None if it has no accuracies.

    Args:
        dataset: its name.
        cells: its cells.
        rows: its rows.
        twins: pretext -> its plain twin.
        claims: what was claimed (`eqssl.config.claims`); may be empty.
    """
    metric = primary_metric(cells)
    if metric is None:
        return None
    grid = grid_cells(dataset, cells)
    rows = [row for row in rows if comparable(row.cells[0])]
    pairs = differences(grid, rows, twins, metric)
    told = winner(grid, rows, twins, metric)
    return Answers(dataset, told, tuple(verdicts(grid, claims)), pairs, forest(pairs, metric, dataset))


def winner(grid: GridCells, rows: Sequence[Row], twins: Mapping[str, str], metric: str) -> tuple[str, ...]:
    """Which self-supervised encoder is the best, and how much better than those it is to be compared with.

    The next one is the best encoder of another pretext, whatever its group.
    """
    best = ranked(rows, metric)
    if not best:
        return ()
    first = best[0]
    estimate = first.estimate(metric)
    value = 0.0 if estimate is None else estimate.value
    seeds = counted(first.seeds, "seed", "seeds")
    texts = [
        f"{first.pretext} on {first.group} has the highest accuracy of "
        f"{counted(len(best), 'encoder', 'encoders')} trained without labels: {100 * value:.1f} % "
        f"({in_words(metric)}; {seeds})."
    ]
    others: dict[Side, str] = {}
    second = next((row for row in best if row.pretext != first.pretext), None)
    if second is not None:
        others[_side(second)] = f"the best other pretext, {second.pretext} on {second.group}"
    if first.pretext in twins:
        twin = Side(first.group, twins[first.pretext])
        others[twin] = (
            f"{others[twin]}, which is also its plain twin"
            if twin in others
            else f"its plain twin, {twin.pretext} on {twin.group}"
        )
    others[Side(first.group, "random")] = f"the untrained network on {first.group}"
    compared = [(words, grid.difference([(_side(first), side)], metric)) for side, words in others.items()]
    known = [(words, difference) for words, difference in compared if difference is not None]
    texts += [f"Against {words}: {points(d.mean)} points. {chance(d)}" for words, d in known]
    if any(len(difference.seeds) == 1 for _, difference in known):
        texts.append(NOT_REPEATED)
    return tuple(texts)


def ranked(rows: Sequence[Row], metric: str) -> list[Row]:
    """The self-supervised rows that have a number, the highest first."""
    found = [
        (estimate.value, row) for row in rows if (estimate := row.estimate(metric)) and not row.is_reference
    ]
    return [row for _, row in sorted(found, key=lambda pair: -pair[0])]


def _side(row: Row) -> Side:
    return Side(row.group, row.pretext)
