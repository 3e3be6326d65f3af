"""Numbers of the tables as they are written, with what is said of them on hover and focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eqssl.evaluation.paired import Difference
from eqssl.report.cells import MISSING
from eqssl.report.estimates import Estimate
from eqssl.report.origins import origin
from eqssl.report.tables import Column, Row, best_of, may_be_best
from eqssl.report.verdict_text import decided, interval, points, seeds


@dataclass(frozen=True)
class Shown:
    """A table cell as written: number, smaller text below, text on hover, sort key, whether it is marked."""

    text: str
    below: str = ""
    hint: str = ""
    order: float | None = None
    best: bool = False


def shown(column: Column, row: Row, rows: Sequence[Row]) -> Shown:
    """A number of the main table, marked if it is the best of its column in `rows`."""
    estimate = column.of(row)
    if estimate is None:
        return Shown(MISSING, hint="not measured")
    best = may_be_best(column, row) and estimate.value == best_of(column, rows)
    each = [plain(column, cell.numbers[column.key]) for cell in row.cells if column.key in cell.numbers]
    hint = origin(column, row, each)
    if column.kind != "accuracy":
        return Shown(plain(column, estimate.value), hint=hint, order=estimate.value, best=best)
    half = estimate.half_width
    below = "" if half is None else f"±{100 * half:.1f}"
    text = plain(column, estimate.value)
    return Shown(text, below, f"{_interval(estimate)}\n{hint}", estimate.value, best)


def shown_difference(difference: Difference) -> Shown:
    """A difference in percentage points; `best` marks those that are more than chance."""
    ends = interval(difference)
    hint = seeds(difference)
    return Shown(points(difference.mean), ends, hint, difference.mean, decided(difference))


def plain(column: Column, value: float) -> str:
    """A number as its column writes it."""
    if column.kind == "accuracy":
        return f"{100 * value:.1f}"
    if column.kind == "error":
        return "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")
    if column.kind == "mega":
        return f"{value / 1e6:,.1f}"
    if column.kind == "share":
        return f"{value:.3f}"
    if column.kind == "seconds":
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:,.0f}"


def _interval(estimate: Estimate) -> str:
    if estimate.lo is None or estimate.hi is None:
        return "interval unknown"
    kind = "bootstrap over test images" if estimate.seeds == 1 else f"t-interval, {estimate.seeds} seeds"
    return f"95 % interval {100 * estimate.lo:.2f} to {100 * estimate.hi:.2f} ({kind})"
