"""How equivariant the encoders are: the error by group, and the change of features by angle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from eqssl.report.cells import Cell, section
from eqssl.report.charts import Chart, Panel, angle_axis, by_group, mean_curve
from eqssl.report.style import SOFT, LineStyle
from eqssl.report.tables import Row

TOLERANCE = 1e-5  # what the method demands of an exact group in float32
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def equivariance_by_group(rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Chart:
    """Largest relative equivariance error of every encoder, by group, on a log axis."""
    datasets = list(dict.fromkeys(row.dataset for row in rows))
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


def change_by_angle(rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Chart:
    """Relative change of the invariant feature against the angle, with a panel for each group."""
    curves = {id(row): mean_curve(cell.changes for cell in row.cells) for row in rows}
    highest = max([100 * change for curve in curves.values() for _, change in curve], default=0.0)

    def draw(axes: Axes, members: Sequence[Row]) -> None:
        for row in members:
            x = [degrees for degrees, _ in curves[id(row)]]
            y = [100 * change for _, change in curves[id(row)]]
            axes.plot(x, y, **styles[row.pretext].drawing, markersize=5, markevery=max(1, len(x) // 8))
        axes.set_xlim(0, 360)
        axes.set_ylim(0, max(1.0, 1.05 * highest))
        angle_axis(axes, "images turned by (degrees, counter-clockwise)")
        axes.set_ylabel("change (%)")

    def in_words(row: Row) -> str:
        degrees, largest = max(curves[id(row)], key=lambda point: point[1])
        return f"{row.pretext}: at most {100 * largest:.1f} %, at {degrees:g}°"

    panels = [
        Panel(title, partial(draw, members=members), "; ".join(map(in_words, members)))
        for title, members in by_group([row for row in rows if curves[id(row)]])
    ]
    caption = (
        "Length of the difference between the invariant features of test images and of the same images "
        "turned, as a share of the features' own length. Turned between pixels, images are interpolated, "
        "and even a perfect network's features change a little."
        + (" Lines are means over seeds." if any(row.seeds > 1 for row in rows) else "")
    )
    return Chart("change", "Change of features by angle", caption, panels, styles, "it was not measured.")


def _errors(row: Row) -> list[float]:
    return [cell.numbers["equivariance_error"] for cell in row.cells if "equivariance_error" in cell.numbers]


def _measured_images(cell: Cell) -> int | None:
    count = section(cell.details, "equivariance").get("images")
    return count if isinstance(count, int) else None


def _power(value: float, floor: float) -> str:
    return "0" if value <= floor * 1.001 else "10" + f"{round(math.log10(value))}".translate(_SUPERSCRIPT)
