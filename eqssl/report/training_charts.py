"""Loss curves of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes

from eqssl.report.charts import Chart, Panel, draw_epochs, mean_curve
from eqssl.report.style import INK, LineStyle, group_styles
from eqssl.report.tables import Row


def loss_curves(rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Chart:
    """Training loss against epochs, with a panel for each pretext and a line for each group."""
    trained = [row for row in rows if any(cell.losses for cell in row.cells)]
    curves = {id(row): mean_curve(cell.losses for cell in row.cells) for row in trained}
    groups = list(dict.fromkeys(row.group for row in trained))

    def draw(axes: Axes, members: Sequence[Row], colour: str) -> None:
        lines = group_styles(groups, colour)
        draw_epochs(axes, "training loss", [(lines[row.group], curves[id(row)]) for row in members])

    keys = dict.fromkeys((row.dataset, row.pretext) for row in trained)
    several = len({dataset for dataset, _ in keys}) > 1
    panels = []
    for dataset, pretext in keys:
        members = [row for row in trained if (row.dataset, row.pretext) == (dataset, pretext)]
        ends = [(row.group, curves[id(row)]) for row in members]
        words = "; ".join(f"{group}: from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for group, curve in ends)
        title = f"{pretext}, {dataset}" if several else pretext
        panels.append(Panel(title, partial(draw, members=members, colour=styles[pretext].colour), words))
    untrained = list(dict.fromkeys(row.pretext for row in rows if row not in trained))
    caption = (
        "Mean loss over the steps of each epoch. Losses of different pretexts are different functions: "
        "compare the lines inside a panel only."
        + (" Lines are means over seeds." if any(row.seeds > 1 for row in rows) else "")
        + (f" Without training, thus without a curve: {', '.join(untrained)}." if untrained else "")
    )
    return Chart("loss", "Loss curves", caption, panels, group_styles(groups, INK), "no cell was trained.")
