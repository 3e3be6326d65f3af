"""Accuracy against what a forward pass costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from eqssl.report.charts import Chart, Panel, accuracy_axis, accuracy_limits, sample_of, with_bars
from eqssl.report.differences import in_words
from eqssl.report.style import LineStyle
from eqssl.report.tables import Row

Point = tuple[Row, float]


def accuracy_against_cost(rows: Sequence[Row], styles: Mapping[str, LineStyle], metric: str | None) -> Chart:
    """Accuracy against floating-point operations of one forward pass, with a panel for each data set.

    Args:
        rows: the rows of the report.
        styles: of the pretexts.
        metric: the accuracy; None if there is none.
    """
    points = [
        (row, flops.value / 1e6)
        for row in rows
        if metric and row.estimate(metric) and (flops := row.estimate("flops")) and flops.value > 0
    ]
    limits = accuracy_limits([value for row, _ in points if metric and (value := row.estimate(metric))])
    panels = []
    for dataset in dict.fromkeys(row.dataset for row, _ in points):
        members = [point for point in points if point[0].dataset == dataset]
        draw = partial(_draw, points=members, styles=styles, metric=metric or "", limits=limits)
        words = "; ".join(f"{row.group}: {cost:,.1f} million" for row, cost in _groups(members))
        panels.append(Panel(dataset, draw, f"Operations of an image: {words}", (5.6, 4.0)))
    caption = (
        "Accuracy of a linear probe on the frozen invariant feature"
        f"{f' ({in_words(metric)})' if metric else ''} against the floating-point operations of one forward "
        f"pass of one image. Lines join the encoders of one pretext; points of one group stand side by side. "
        f"{sample_of(rows)}"
    )
    return Chart(
        "cost", "Cost against accuracy", caption, panels, styles, "accuracy or cost was not recorded."
    )


def _groups(points: Sequence[Point]) -> list[Point]:
    """The first row of each group, the cheapest first."""
    first = {row.group: (row, cost) for row, cost in reversed(points)}
    return sorted(first.values(), key=lambda point: point[1])


def _draw(
    axes: Axes,
    points: Sequence[Point],
    styles: Mapping[str, LineStyle],
    metric: str,
    limits: tuple[float, float],
) -> None:
    pretexts = [name for name in styles if any(row.pretext == name for row, _ in points)]
    for position, pretext in enumerate(pretexts):
        mine = sorted(
            ((row, cost) for row, cost in points if row.pretext == pretext), key=lambda point: point[1]
        )
        # Shifted sideways, because encoders of one group cost the same.
        shift = (0.3 / max(1, len(pretexts) - 1)) * (position - (len(pretexts) - 1) / 2)
        x = [cost * 2**shift for _, cost in mine]
        with_bars(axes, x, [value for row, _ in mine if (value := row.estimate(metric))], styles[pretext])
    groups = _groups(points)
    costs = [cost for _, cost in groups]
    axes.set_xscale("log")
    axes.set_xlim(min(costs) / 1.5, max(costs) * 1.5)
    ticks: dict[float, str] = {}
    for row, cost in groups:
        ticks[cost] = f"{ticks[cost]}, {row.group}" if cost in ticks else f"{cost:,.3g}\n{row.group}"
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ticks.get(value, "")))
    axes.set_xlabel("million operations for one image (log scale)")
    accuracy_axis(axes, limits)
