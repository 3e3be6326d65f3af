"""Accuracy against the share of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from eqssl.report.charts import (
    PANEL_SIZE,
    SMALL_PANEL,
    Chart,
    Panel,
    accuracy_axis,
    accuracy_limits,
    by_group,
    by_pretext,
    sample_of,
    with_bars,
)
from eqssl.report.estimates import Estimate
from eqssl.report.style import LineStyle, group_colours
from eqssl.report.tables import Row, shares_of

MOST_LINES = 8
"""Most pretexts in one panel."""


def accuracy_against_labels(
    rows: Sequence[Row], styles: Mapping[str, LineStyle], view: str = "stored"
) -> Chart:
    """Accuracy of the linear probe on the invariant feature against the share of labels.

    A panel for each group with a line for each pretext, or with many pretexts a small panel for each of them
    with a line for each group.
    """
    crowded = len({row.pretext for row in rows}) > MOST_LINES
    groups = group_colours(list(dict.fromkeys(row.group for row in rows)))
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
            with_bars(axes, x, values, groups[row.group] if crowded else styles[row.pretext])
        axes.set_xscale("log")
        axes.set_xlim(shares[0] / 1.35, shares[-1] * 1.35)
        axes.xaxis.set_major_locator(FixedLocator(shares))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.set_xlabel("training labels (log scale)")
        accuracy_axis(axes, limits)

    measured = [row for row in rows if curves[id(row)]]
    panels = [
        Panel(
            title,
            partial(draw, members=members),
            _in_words(members, curves, lambda x: f"{x:g} %"),
            SMALL_PANEL if crowded else PANEL_SIZE,
        )
        for title, members in (by_pretext(measured, list(styles)) if crowded else by_group(measured))
    ]
    caption = (
        f"Accuracy of a linear probe on the frozen invariant feature, {view} test images, against the share "
        f"of training labels that it was fitted on. Points of one share stand side by side. {sample_of(rows)}"
    )
    legend, empty = groups if crowded else styles, "no accuracies were recorded."
    return Chart("labels", "Accuracy against labels", caption, panels, legend, empty)


def _in_words(
    rows: Sequence[Row], curves: Mapping[int, Sequence[tuple[float, Estimate]]], name: Callable[[float], str]
) -> str:
    return "; ".join(
        f"{row.pretext}, {row.group}: "
        + ", ".join(f"{100 * value.value:.1f} % at {name(x)}" for x, value in curves[id(row)])
        for row in rows
    )
