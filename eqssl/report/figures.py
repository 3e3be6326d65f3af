"""The report's figures: accuracy against labels and against rotation, loss curves, equivariance error.

Each is a `Chart`: panels of one drawing each. The page lays the panels out by its width; `Chart.figure` puts
them side by side, with a legend, for a paper or a README.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, MultipleLocator, NullLocator

from eqssl.report.cells import MINUS, Cell, section
from eqssl.report.estimates import Estimate, over_seeds
from eqssl.report.style import INK, SOFT, LineStyle, group_styles, house_style, pretext_styles, save_figure
from eqssl.report.tables import Row, shares_of

__all__ = [
    "Chart",
    "Panel",
    "accuracy_against_labels",
    "accuracy_against_rotation",
    "equivariance_by_group",
    "loss_curves",
    "save_figure",
]

PANEL_SIZE = (5.0, 3.7)  # inches; at 72 units to the inch, text of 12 units is text of 12 pixels on a page
TOLERANCE = 1e-5  # what the method demands of an exact group in float32
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Panel:
    """One drawing: a title, the function that draws it, and its content in words."""

    title: str
    draw: Callable[[Axes], None]
    words: str

    def figure(self) -> Figure:
        """The panel alone."""
        with house_style():
            figure = Figure(figsize=PANEL_SIZE, layout="constrained")
            self.paint(figure.subplots())
        return figure

    def paint(self, axes: Axes) -> None:
        """Draw into axes."""
        self.draw(axes)
        axes.set_title(self.title)


@dataclass(frozen=True)
class Chart:
    """Panels of one kind, their legend and their caption.

    Attributes:
        key: short name, used for ids in the page.
        title, caption: what is shown, of how many images and seeds, and what the intervals are.
        panels: the drawings.
        legend: name and style of each line.
        empty: why there are no panels, where there are none.
    """

    key: str
    title: str
    caption: str
    panels: Sequence[Panel]
    legend: Mapping[str, LineStyle]
    empty: str = ""

    def figure(self, columns: int = 3) -> Figure:
        """All panels in one figure with a legend below.

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
            grid = figure.subplots(lines, columns, squeeze=False)
            for axes in grid.flat[len(self.panels) :]:
                axes.set_axis_off()
            for panel, axes in zip(self.panels, grid.flat, strict=False):
                panel.paint(axes)
            handles = [Line2D([], [], label=name, **style.drawing) for name, style in self.legend.items()]
            figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 2 * columns))
        return figure


def accuracy_against_labels(rows: Sequence[Row], view: str = "stored") -> Chart:
    """Accuracy of the linear probe on the invariant feature against the share of labels, a panel a group."""
    shares = sorted(shares_of([cell for row in rows for cell in row.cells]))
    curves = {
        id(row): [(share, value) for share in shares if (value := row.estimate(f"acc_{view}_{share}"))]
        for row in rows
    }
    limits = _limits([value for curve in curves.values() for _, value in curve])
    styles = _styles(rows)

    def draw(axes: Axes, members: Sequence[Row]) -> None:
        for position, row in enumerate(members):
            # Intervals of neighbouring lines would cover each other: they stand side by side.
            shift = 1.035 ** (position - (len(members) - 1) / 2)
            x = [share * shift for share, _ in curves[id(row)]]
            values = [value for _, value in curves[id(row)]]
            _with_bars(axes, x, values, styles[row.pretext])
        axes.set_xscale("log")
        axes.set_xlim(shares[0] / 1.35, shares[-1] * 1.35)
        axes.xaxis.set_major_locator(FixedLocator(shares))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.set_xlabel("training labels (log scale)")
        _accuracy_axis(axes, limits)

    panels = [
        Panel(title, partial(draw, members=members), _in_words(members, curves, lambda x: f"{x:g} %"))
        for title, members in _by_group([row for row in rows if curves[id(row)]])
    ]
    caption = (
        f"Accuracy of a linear probe on the frozen invariant feature, {view} test images, against the share "
        f"of training labels that it was fitted on. Points of one share stand side by side. {_sample(rows)}"
    )
    return Chart("labels", "Accuracy against labels", caption, panels, styles, "no accuracies were recorded.")


def accuracy_against_rotation(rows: Sequence[Row]) -> Chart:
    """Accuracy against the angle that test images were turned by, a panel for each group."""
    curves = {id(row): _angle_curve(row) for row in rows}
    limits = _limits([value for curve in curves.values() for _, value in curve])
    styles = _styles(rows)

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
        axes.xaxis.set_major_locator(MultipleLocator(90))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}°".replace("-", MINUS)))
        axes.set_xlabel("test images turned by (degrees, counter-clockwise)")
        _accuracy_axis(axes, limits)

    panels = [
        Panel(title, partial(draw, members=members), _span_in_words(members, curves))
        for title, members in _by_group([row for row in rows if curves[id(row)]])
    ]
    without = [f"{row.group} {row.pretext}" for row in rows if not curves[id(row)]]
    caption = (
        "Accuracy of a linear probe, trained on stored images with all labels, on test images that were each "
        f"turned by a random angle; bins of equal width, drawn at their centres. {_sample(rows)}"
        + (f" Not measured: {', '.join(without)}." if without else "")
    )
    empty = "accuracy by angle was not recorded: no cell was tested on the view angle."
    return Chart("rotation", "Accuracy against test rotation", caption, panels, styles, empty)


def loss_curves(rows: Sequence[Row]) -> Chart:
    """Training loss against epochs: a panel for each pretext, a line for each group."""
    trained = [row for row in rows if any(cell.losses for cell in row.cells)]
    groups = list(dict.fromkeys(row.group for row in trained))
    colours = {name: style.colour for name, style in _styles(rows).items()}

    def draw(axes: Axes, members: Sequence[Row], colour: str) -> None:
        styles = group_styles(groups, colour)
        for row in members:
            curve = _loss_curve(row.cells)
            x, y = [epoch for epoch, _ in curve], [loss for _, loss in curve]
            axes.plot(x, y, **styles[row.group].drawing, markersize=4.5, markevery=max(1, len(x) // 12))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss")

    keys = dict.fromkeys((row.dataset, row.pretext) for row in trained)
    several = len({dataset for dataset, _ in keys}) > 1
    panels = []
    for dataset, pretext in keys:
        members = [row for row in trained if (row.dataset, row.pretext) == (dataset, pretext)]
        ends = [(row.group, _loss_curve(row.cells)) for row in members]
        words = "; ".join(f"{group}: from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for group, curve in ends)
        title = f"{pretext}, {dataset}" if several else pretext
        panels.append(Panel(title, partial(draw, members=members, colour=colours[pretext]), words))
    untrained = list(dict.fromkeys(row.pretext for row in rows if row not in trained))
    caption = (
        "Mean loss over the steps of each epoch. Losses of different pretexts are different functions: "
        "compare the lines inside a panel only."
        + (" Lines are means over seeds." if any(row.seeds > 1 for row in rows) else "")
        + (f" Without training, thus without a curve: {', '.join(untrained)}." if untrained else "")
    )
    return Chart("loss", "Loss curves", caption, panels, group_styles(groups, INK), "no cell was trained.")


def equivariance_by_group(rows: Sequence[Row]) -> Chart:
    """Largest relative equivariance error of every encoder, by group, on a log axis."""
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    styles = _styles(rows)
    positive = [value for row in rows for value in _errors(row) if value > 0]
    floor = 10.0 ** (math.floor(math.log10(min([*positive, TOLERANCE]))) - 1)
    top = 10.0 ** math.ceil(math.log10(max([*positive, TOLERANCE]) * 1.5))

    def draw(axes: Axes, members: Sequence[Row]) -> None:
        groups = list(dict.fromkeys(row.group for row in members))
        pretexts = [name for name in styles if any(row.pretext == name for row in members)]
        for row in members:
            shift = (pretexts.index(row.pretext) - (len(pretexts) - 1) / 2) * 0.7 / len(pretexts)
            y = [max(value, floor) for value in _errors(row)]
            drawing = {**styles[row.pretext].drawing, "linestyle": "none"}
            axes.plot([groups.index(row.group) + shift] * len(y), y, **drawing, clip_on=False)
        axes.set_yscale("log")
        axes.set_ylim(floor, top)
        axes.set_xlim(-0.5, len(groups) - 0.5)
        axes.axhline(TOLERANCE, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(groups)), groups)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value, floor)))
        axes.set_ylabel("relative error (log scale)")
        axes.set_xlabel("group")

    panels = []
    for dataset in datasets:
        members = [row for row in rows if row.dataset == dataset and _errors(row)]
        words = "; ".join(f"{row.group} {row.pretext}: {max(_errors(row)):.1e}" for row in members)
        if members:
            panels.append(Panel(dataset, partial(draw, members=members), words))
    counts = sorted({n for row in rows for cell in row.cells if (n := _measured_images(cell)) is not None})
    images = f"n = {' or '.join(f'{n:,}' for n in counts)} " if counts else ""
    caption = (
        f"Largest relative error over the elements of the encoder's own group, on {images}test images; one "
        "point for each encoder. An error of exactly 0 lies on the lowest line. Dashed: 10⁻⁵, the "
        "limit for groups that are exact on the pixel grid, in float32. No interval: it is a maximum."
    )
    return Chart("equivariance", "Equivariance error", caption, panels, styles, "it was not measured.")


def _angle_curve(row: Row) -> list[tuple[float, Estimate]]:
    """The accuracy by angle over the seeds that measured it."""
    bins: dict[float, list[Estimate]] = {}
    for cell in row.cells:
        for degrees, estimate in cell.angles:
            bins.setdefault(degrees, []).append(estimate)
    return [(degrees, over_seeds(estimates)) for degrees, estimates in sorted(bins.items())]


def _loss_curve(cells: Sequence[Cell]) -> list[tuple[int, float]]:
    """The mean over seeds of the loss of each epoch."""
    epochs: dict[int, list[float]] = {}
    for cell in cells:
        for epoch, loss in cell.losses:
            epochs.setdefault(epoch, []).append(loss)
    return [(epoch, math.fsum(losses) / len(losses)) for epoch, losses in sorted(epochs.items())]


def _errors(row: Row) -> list[float]:
    return [cell.numbers["equivariance_error"] for cell in row.cells if "equivariance_error" in cell.numbers]


def _measured_images(cell: Cell) -> int | None:
    count = section(cell.details, "equivariance").get("images")
    return count if isinstance(count, int) else None


def _styles(rows: Sequence[Row]) -> dict[str, LineStyle]:
    return pretext_styles(list(dict.fromkeys(row.pretext for row in rows)))


def _by_group(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Title and rows of each panel; the data set is named where there are several."""
    keys = dict.fromkeys((row.dataset, row.group) for row in rows)
    several = len({dataset for dataset, _ in keys}) > 1
    return [
        (
            f"{group}, {dataset}" if several else group,
            [row for row in rows if (row.dataset, row.group) == (dataset, group)],
        )
        for dataset, group in keys
    ]


def _with_bars(axes: Axes, x: Sequence[float], values: Sequence[Estimate], style: LineStyle) -> None:
    """A line with an error bar at each point; the bar is missing where no interval is known."""
    y = [100 * value.value for value in values]
    below = [0.0 if value.lo is None else max(0.0, 100 * (value.value - value.lo)) for value in values]
    above = [0.0 if value.hi is None else max(0.0, 100 * (value.hi - value.value)) for value in values]
    axes.errorbar(x, y, yerr=[below, above], elinewidth=1.2, capsize=0, **style.drawing)


def _ends(values: Sequence[Estimate]) -> tuple[list[float | None], list[float | None]]:
    return [value.lo for value in values], [value.hi for value in values]


def _limits(values: Sequence[Estimate]) -> tuple[float, float]:
    """Common ends of the accuracy axes in per cent: every interval fits, inside 0 to 100."""
    ends = [100 * end for value in values for end in (value.value, value.lo, value.hi) if end is not None]
    if not ends:
        return 0.0, 100.0
    margin = max(1.0, 0.06 * (max(ends) - min(ends)))
    return max(0.0, min(ends) - margin), min(100.0, max(ends) + margin)


def _accuracy_axis(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.set_ylabel("accuracy (%)")


def _power(value: float, floor: float) -> str:
    return "0" if value <= floor * 1.001 else "10" + f"{round(math.log10(value))}".translate(_SUPERSCRIPT)


def _sample(rows: Sequence[Row]) -> str:
    """How many images and seeds stand behind the numbers, and what the intervals are."""
    tested = sorted({n for row in rows for cell in row.cells if (n := cell.test_images) is not None})
    images = f"n = {' or '.join(f'{n:,}' for n in tested)} test images. " if tested else ""
    seeds = sorted({row.seeds for row in rows})
    if seeds == [1]:
        return images + "One seed; bars and bands are 95 % bootstrap intervals over test images."
    count = " or ".join(str(number) for number in seeds)
    return images + f"Means over {count} seeds; bars and bands are 95 % t-intervals over seeds."


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
