"""Which few encoders the report shows in pictures, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eqssl.report.answers import ranked
from eqssl.report.tables import Row

MOST = 9
"""Most encoders of one data set."""
WHY = (
    "Shown for each group: the self-supervised encoder with the highest accuracy, its plain twin, and the "
    "untrained network; of each the first seed."
)
WHY_FIRST = "Shown: the first encoders of the table; of each the first seed."


def chosen(rows: Sequence[Row], twins: Mapping[str, str], metric: str | None) -> tuple[list[Row], str]:
    """Rows of one data set for the map, the neighbours and the filters, and the reason in a sentence.

    Args:
        rows: its rows.
        twins: pretext -> its plain twin.
        metric: the accuracy that ranks; None where there is none.
    """
    best = [] if metric is None else ranked(rows, metric)
    if metric is None or not best:
        return list(rows[:MOST]), WHY_FIRST
    wanted: list[tuple[str, str]] = []
    for group in dict.fromkeys(row.group for row in rows):
        first = next((row for row in best if row.group == group), None)
        names = [] if first is None else [first.pretext, _counterpart(first.pretext, twins)]
        wanted += [(group, name) for name in [*names, "random"]]
    table = {(row.group, row.pretext): row for row in rows}
    return [table[key] for key in dict.fromkeys(wanted) if key in table][:MOST], WHY


def _counterpart(pretext: str, twins: Mapping[str, str]) -> str:
    """The plain twin of a pretext, or what a plain one is the twin of."""
    of = next((name for name, twin in twins.items() if twin == pretext), "")
    return twins.get(pretext, of)
