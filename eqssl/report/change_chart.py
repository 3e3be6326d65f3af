"""How much the invariant feature changes with the angle of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes

from eqssl.report.charts import Chart, Panel, angle_axis, by_group, mean_curve
from eqssl.report.style import LineStyle
from eqssl.report.tables import Row


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
