"""Accuracy against the share of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from eqssl.report.charts import (
    Chart,
    Panel,
    accuracy_axis,
    accuracy_limits,
    by_group,
    sample_of,
    with_bars,
)
from eqssl.report.estimates import Estimate
from eqssl.report.style import LineStyle
from eqssl.report.tables import Row, shares_of


def accuracy_against_labels(
    rows: Sequence[Row], styles: Mapping[str, LineStyle], view: str = "stored"
) -> Chart:
    """Accuracy of the linear probe on the invariant feature against the share of labels, by group."""
    shares = sorted(shares_of([cell for row in rows for cell in row.cells]))
    curves = {
        id(row): [(share, value) for share in shares if (value := row.estimate(f"acc_{view}_{share}"))]
        for row in rows
    }
    limits = accuracy_limits([value for curve in curves.values() for _, value in curve])

    def draw(axes: Axes, members: Sequence[Row]) -> None:
        for position, row in enumerate(members):
            # Shifted sideways, because intervals of different lines would cover each other.
            shift = 1.035 ** (position - (len(members) - 1) / 2)
            x = [share * shift for share, _ in curves[id(row)]]
            values = [value for _, value in curves[id(row)]]
            with_bars(axes, x, values, styles[row.pretext])
        axes.set_xscale("log")
        axes.set_xlim(shares[0] / 1.35, shares[-1] * 1.35)
        axes.xaxis.set_major_locator(FixedLocator(shares))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.set_xlabel("training labels (log scale)")
        accuracy_axis(axes, limits)

    panels = [
        Panel(title, partial(draw, members=members), _in_words(members, curves, lambda x: f"{x:g} %"))
        for title, members in by_group([row for row in rows if curves[id(row)]])
    ]
    caption = (
        f"Accuracy of a linear probe on the frozen invariant feature, {view} test images, against the share "
        f"of training labels that it was fitted on. Points of one share stand side by side. {sample_of(rows)}"
    )
    return Chart("labels", "Accuracy against labels", caption, panels, styles, "no accuracies were recorded.")


def _in_words(
    rows: Sequence[Row], curves: Mapping[int, Sequence[tuple[float, Estimate]]], name: Callable[[float], str]
) -> str:
    return "; ".join(
        f"{row.pretext}: "
        + ", ".join(f"{100 * value.value:.1f} % at {name(x)}" for x, value in curves[id(row)])
        for row in rows
    )
