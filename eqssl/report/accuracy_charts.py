"""Accuracy against labels and against rotation."""

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
    angle_axis,
    by_group,
    by_place,
    sample_of,
    with_bars,
)
from eqssl.report.estimates import Estimate, over_seeds
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


def accuracy_against_rotation(rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Chart:
    """Accuracy against the angle of the test images, with a panel for each group."""
    curves = {id(row): _angle_curve(row) for row in rows}
    limits = accuracy_limits([value for curve in curves.values() for _, value in curve])

    def draw(axes: Axes, members: Sequence[Row]) -> None:
        for row in members:
            x = [degrees for degrees, _ in curves[id(row)]]
            values = [value for _, value in curves[id(row)]]
            style = styles[row.pretext]
            if all(value.half_width is not None for value in values):
                low, high = ([100 * (end or 0.0) for end in ends] for ends in _ends(values))
                axes.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)
            y = [100 * value.value for value in values]
            axes.plot(x, y, **style.drawing, markersize=5, markevery=max(1, len(x) // 8))
        angle_axis(axes, "test images turned by (degrees, counter-clockwise)")
        accuracy_axis(axes, limits)

    panels = [
        Panel(title, partial(draw, members=members), _span_in_words(members, curves))
        for title, members in by_group([row for row in rows if curves[id(row)]])
    ]
    without = [f"{row.group} {row.pretext}" for row in rows if not curves[id(row)]]
    caption = (
        "Accuracy of a linear probe, trained on stored images with all labels, on test images that were each "
        f"turned by a random angle; bins of equal width, drawn at their centres. {sample_of(rows)}"
        + (f" Not measured: {', '.join(without)}." if without else "")
    )
    empty = "accuracy by angle was not recorded: no cell was tested on the view angle."
    return Chart("rotation", "Accuracy against test rotation", caption, panels, styles, empty)


def _angle_curve(row: Row) -> list[tuple[float, Estimate]]:
    """The accuracy at each angle, over the seeds that measured it."""
    points = by_place(cell.angles for cell in row.cells)
    return [(degrees, over_seeds(estimates)) for degrees, estimates in points]


def _ends(values: Sequence[Estimate]) -> tuple[list[float | None], list[float | None]]:
    return [value.lo for value in values], [value.hi for value in values]


def _in_words(
    rows: Sequence[Row], curves: Mapping[int, Sequence[tuple[float, Estimate]]], name: Callable[[float], str]
) -> str:
    return "; ".join(
        f"{row.pretext}: "
        + ", ".join(f"{100 * value.value:.1f} % at {name(x)}" for x, value in curves[id(row)])
        for row in rows
    )


def _span_in_words(rows: Sequence[Row], curves: Mapping[int, Sequence[tuple[float, Estimate]]]) -> str:
    spans = [(row.pretext, [100 * value.value for _, value in curves[id(row)]]) for row in rows]
    return "; ".join(f"{name}: between {min(span):.1f} % and {max(span):.1f} %" for name, span in spans)
