"""The parts of every figure of the report: panels, legend, caption and common axes.

The HTML page arranges the panels of a `Chart` to fit its width. `Chart.figure` puts them side by side, with a
legend, for a paper or a README.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from eqssl.report.cells import MINUS
from eqssl.report.estimates import Estimate
from eqssl.report.style import LineStyle, house_style
from eqssl.report.tables import Row

PANEL_SIZE = (5.0, 3.7)  # inches; at 72 units to the inch, text of 12 units is text of 12 pixels on a page
SMALL_PANEL = (3.4, 2.5)  # inches, for a panel of few lines
Place = TypeVar("Place", int, float)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Attributes:
        title: what stands above it.
        draw: the function that draws it.
        words: its content in words.
        size: width and height in inches.
        projection: of its axes; "polar" for angles round a circle.
    """

    title: str
    draw: Callable[[Axes], None]
    words: str
    size: tuple[float, float] = PANEL_SIZE
    projection: Literal["rectilinear", "polar"] = "rectilinear"

    def figure(self) -> Figure:
        """The panel alone."""
        with house_style():
            figure = Figure(figsize=self.size, layout="constrained")
            self.paint(figure.subplots(subplot_kw={"projection": self.projection}))
        return figure

    def paint(self, axes: Axes) -> None:
        """Draw into axes."""
        self.draw(axes)
        axes.set_title(self.title)


@dataclass(frozen=True)
class Chart:
    """Panels of one kind, their legend and their caption.

    Attributes:
        key: short name, used for ids in the HTML page.
        title, caption: what is shown, for how many images and seeds, and what the intervals are.
        panels: the drawings.
        legend: name and style of each line.
        empty: why there are no panels, if there are none.
    """

    key: str
    title: str
    caption: str
    panels: Sequence[Panel]
    legend: Mapping[str, LineStyle]
    empty: str = ""

    def figure(self, columns: int = 3) -> Figure:
        """All panels in one figure, with a legend below.

        Raises:
            ValueError: there is nothing to draw.
        """
        if not self.panels:
            raise ValueError(f"{self.title}: {self.empty}")
        columns = min(columns, len(self.panels))
        lines = math.ceil(len(self.panels) / columns)
        with house_style():
            figure = Figure(
                figsize=(PANEL_SIZE[0] * columns, PANEL_SIZE[1] * lines + 0.4), layout="constrained"
            )
            kind = {"projection": self.panels[0].projection}
            grid = figure.subplots(lines, columns, squeeze=False, subplot_kw=kind)
            for axes in grid.flat[len(self.panels) :]:
                axes.set_axis_off()
            for panel, axes in zip(self.panels, grid.flat, strict=False):
                panel.paint(axes)
            handles = [Line2D([], [], label=name, **style.drawing) for name, style in self.legend.items()]
            figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 2 * columns))
        return figure


def by_group(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Title and rows of each panel. Titles name the data set if there are several."""
    keys = dict.fromkeys((row.dataset, row.group) for row in rows)
    several = len({dataset for dataset, _ in keys}) > 1
    return [
        (
            f"{group}, {dataset}" if several else group,
            [row for row in rows if (row.dataset, row.group) == (dataset, group)],
        )
        for dataset, group in keys
    ]


def by_pretext(rows: Sequence[Row], order: Sequence[str]) -> list[tuple[str, list[Row]]]:
    """Title and rows of each pretext's panel, in order. Titles name the data set if there are several."""
    several = len({row.dataset for row in rows}) > 1
    keys = dict.fromkeys((row.dataset, row.pretext) for row in rows)
    return [
        (
            f"{pretext}, {dataset}" if several else pretext,
            [row for row in rows if (row.dataset, row.pretext) == (dataset, pretext)],
        )
        for dataset, pretext in sorted(keys, key=lambda key: order.index(key[1]))
    ]


def by_place(curves: Iterable[Iterable[tuple[Place, Value]]]) -> list[tuple[Place, list[Value]]]:
    """The values of several curves (the seeds of a row) at each place, sorted by place."""
    found: dict[Place, list[Value]] = {}
    for curve in curves:
        for place, value in curve:
            found.setdefault(place, []).append(value)
    return sorted(found.items(), key=lambda item: item[0])


def mean_curve(curves: Iterable[Iterable[tuple[Place, float]]]) -> list[tuple[Place, float]]:
    """The mean of several curves, at each place where at least one has a value."""
    return [(place, math.fsum(values) / len(values)) for place, values in by_place(curves)]


def draw_epochs(
    axes: Axes, label: str, lines: Sequence[tuple[LineStyle, Sequence[tuple[int, float]]]]
) -> None:
    """Draw curves against epochs.

    Args:
        axes: where.
        label: of the vertical axis.
        lines: the style of each curve, and its epochs and values.
    """
    for style, curve in lines:
        x, y = [epoch for epoch, _ in curve], [value for _, value in curve]
        axes.plot(x, y, **style.drawing, markersize=4.5, markevery=max(1, len(x) // 12))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)


def with_bars(axes: Axes, x: Sequence[float], values: Sequence[Estimate], style: LineStyle) -> None:
    """Draw a line with an error bar at each point that has an interval."""
    y = [100 * value.value for value in values]
    below = [0.0 if value.lo is None else max(0.0, 100 * (value.value - value.lo)) for value in values]
    above = [0.0 if value.hi is None else max(0.0, 100 * (value.hi - value.value)) for value in values]
    axes.errorbar(x, y, yerr=[below, above], elinewidth=1.2, capsize=0, **style.drawing)


def accuracy_limits(values: Sequence[Estimate]) -> tuple[float, float]:
    """Common limits of the accuracy axes in per cent, which fit all intervals and stay in 0 to 100."""
    ends = [100 * end for value in values for end in (value.value, value.lo, value.hi) if end is not None]
    if not ends:
        return 0.0, 100.0
    margin = max(1.0, 0.06 * (max(ends) - min(ends)))
    return max(0.0, min(ends) - margin), min(100.0, max(ends) + margin)


def accuracy_axis(axes: Axes, limits: tuple[float, float]) -> None:
    """Make the vertical axis one of accuracies in per cent."""
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.set_ylabel("accuracy (%)")


def angle_axis(axes: Axes, label: str) -> None:
    """Make the horizontal axis one of degrees."""
    axes.xaxis.set_major_locator(MultipleLocator(90))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}°".replace("-", MINUS)))
    axes.set_xlabel(label)


def sample_of(rows: Sequence[Row]) -> str:
    """How many images and seeds the numbers are based on, and what the intervals are."""
    tested = sorted({n for row in rows for cell in row.cells if (n := cell.test_images) is not None})
    images = f"n = {' or '.join(f'{n:,}' for n in tested)} test images. " if tested else ""
    seeds = sorted({row.seeds for row in rows})
    if seeds == [1]:
        return images + "One seed; bars and bands are 95 % bootstrap intervals over test images."
    count = " or ".join(str(number) for number in seeds)
    return images + f"Means over {count} seeds; bars and bands are 95 % t-intervals over seeds."
