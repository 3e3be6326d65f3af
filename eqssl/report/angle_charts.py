"""Accuracy against the angle of the test images: a small panel for each pretext, a line for each group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eqssl.report.charts import (
    SMALL_PANEL,
    Chart,
    Panel,
    accuracy_axis,
    accuracy_limits,
    angle_axis,
    by_place,
    by_pretext,
    sample_of,
)
from eqssl.report.estimates import Estimate, over_seeds
from eqssl.report.style import LineStyle, group_colours
from eqssl.report.tables import Row

POLAR_SIZE = (3.4, 3.2)
Curve = Sequence[tuple[float, Estimate]]


def accuracy_against_rotation(
    rows: Sequence[Row], styles: Mapping[str, LineStyle], polar: bool = False
) -> Chart:
    """Accuracy against the angle of the test images.

    Args:
        rows: the rows of the report.
        styles: of the pretexts, whose order the panels have.
        polar: whether angles run round a circle.
    """
    curves = {id(row): _angle_curve(row) for row in rows}
    measured = [row for row in rows if curves[id(row)]]
    limits = accuracy_limits([value for curve in curves.values() for _, value in curve])
    lines = group_colours(list(dict.fromkeys(row.group for row in rows)))
    draw = _draw_round if polar else _draw
    panels = [
        Panel(
            title,
            partial(draw, lines=[(lines[row.group], curves[id(row)]) for row in members], limits=limits),
            _span_in_words(members, curves),
            POLAR_SIZE if polar else SMALL_PANEL,
            "polar" if polar else "rectilinear",
        )
        for title, members in by_pretext(measured, list(styles))
    ]
    without = [f"{row.group} {row.pretext}" for row in rows if not curves[id(row)]]
    caption = (
        "Accuracy of a linear probe, trained on stored images with all labels, on test images that were each "
        f"turned by a random angle; bins of 15 degrees, drawn at their centres. "
        f"{sample_of(measured or rows)}"
        + (f" Not measured: {', '.join(without)}." if without and measured else "")
    )
    empty = "accuracy by angle was not recorded: no cell was tested on the view angle."
    shown = {group: style for group, style in lines.items() if any(row.group == group for row in measured)}
    return Chart("rotation", "Accuracy against test rotation", caption, panels, shown, empty)


def _draw(axes: Axes, lines: Sequence[tuple[LineStyle, Curve]], limits: tuple[float, float]) -> None:
    for style, curve in lines:
        (first, _), (last, _) = curve[0], curve[-1]
        whole = [(last - 360, curve[-1][1]), *curve, (first + 360, curve[0][1])]
        _line(axes, style, [degrees for degrees, _ in whole], [value for _, value in whole])
    axes.set_xlim(0, 360)
    angle_axis(axes, "turned by")
    accuracy_axis(axes, limits)


def _draw_round(axes: Axes, lines: Sequence[tuple[LineStyle, Curve]], limits: tuple[float, float]) -> None:
    for style, curve in lines:
        closed = [*curve, curve[0]]
        _line(axes, style, [math.radians(degrees) for degrees, _ in closed], [value for _, value in closed])
    axes.set_ylim(*limits)
    axes.set_xticks([math.radians(degrees) for degrees in range(0, 360, 90)])
    axes.grid(visible=True, axis="both")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.spines["polar"].set_visible(False)


def _line(axes: Axes, style: LineStyle, x: Sequence[float], values: Sequence[Estimate]) -> None:
    if all(value.half_width is not None for value in values):
        low = [100 * (value.lo or 0.0) for value in values]
        high = [100 * (value.hi or 0.0) for value in values]
        axes.fill_between(x, low, high, color=style.colour, alpha=0.13, linewidth=0)
    y = [100 * value.value for value in values]
    axes.plot(x, y, color=style.colour, linewidth=1.6, linestyle=style.drawing["linestyle"])


def _angle_curve(row: Row) -> list[tuple[float, Estimate]]:
    """The accuracy at each angle, over the seeds that measured it."""
    curves = (cell.angles for cell in row.cells)
    return [(degrees, over_seeds(estimates)) for degrees, estimates in by_place(curves)]


def _span_in_words(rows: Sequence[Row], curves: Mapping[int, Curve]) -> str:
    spans = [(row.group, [100 * value.value for _, value in curves[id(row)]]) for row in rows]
    return "; ".join(f"{name}: between {min(span):.1f} % and {max(span):.1f} %" for name, span in spans)
