"""How well the labels of label tasks were learnt, and by what: content or shortcuts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes

from eqssl.report.charts import Chart, Panel, accuracy_axis, by_group, with_bars
from eqssl.report.estimates import Estimate
from eqssl.report.style import DASHED, DOTTED, INK, SOFT, SOLID, LineStyle
from eqssl.report.tables import Row

_CHANCE = re.compile(r"pretext(?:_(.+))?_chance")
_LEGEND = {
    "accuracy": LineStyle(INK, SOLID, "o", True),
    "with every patch turned apart": LineStyle(INK, SOLID, "s", False),
    "ceiling of the orbits": LineStyle(SOFT, DASHED, "^", False),
    "chance": LineStyle(SOFT, DOTTED, "v", False),
}
"""In one colour each row, as its pretext stands below it."""
_HALF = 0.32  # of a level's line, in units of the distance of two tasks


@dataclass(frozen=True)
class _Task:
    """A label task of a row, and what was measured of it."""

    name: str
    accuracy: Estimate
    apart: Estimate | None
    ceiling: float
    chance: float


def label_accuracy(rows: Sequence[Row]) -> Chart:
    """Accuracy of label tasks on validation images beside what bounds it, a panel for each group."""
    tasks = {id(row): _tasks(row) for row in rows}

    def draw(axes: Axes, shown: Sequence[_Task]) -> None:
        accuracy, apart, ceiling, chance = _LEGEND.values()
        for x, task in enumerate(shown):
            for level, style in ((task.ceiling, ceiling), (task.chance, chance)):
                ends = [x - _HALF, x, x + _HALF]
                axes.plot(ends, [100 * level] * 3, **style.drawing, markevery=[1])
            if task.apart is not None:
                with_bars(axes, [x + 0.12], [task.apart], apart)
            with_bars(axes, [x], [task.accuracy], accuracy)
        axes.set_xticks(range(len(shown)), [task.name for task in shown])
        if len(shown) > 3:
            axes.tick_params("x", labelrotation=30)
        axes.set_xlim(-0.6, len(shown) - 0.4)
        accuracy_axis(axes, (0.0, 102.0))

    panels = []
    for title, members in by_group([row for row in rows if tasks[id(row)]]):
        shown = [task for row in members for task in tasks[id(row)]]
        words = "; ".join(map(_in_words, shown))
        panels.append(Panel(title, partial(draw, shown=shown), words))
    several = any(row.seeds > 1 for row in rows)
    caption = (
        "Share of validation inputs whose label a label task's head tells. Ceiling of the orbits: the best "
        "that is possible without telling labels of one orbit apart. With every patch turned apart, by "
        "quarter turns of its own, direction is destroyed; what stays above chance was learnt from cues that "
        "have none, and may be a shortcut. "
        + ("Means and 95 % t-intervals over seeds." if several else "Bars are 95 % intervals over inputs.")
    )
    empty = "no pretext of this grid has labels."
    return Chart("pretext", "Accuracy of label tasks", caption, panels, _LEGEND, empty)


def _tasks(row: Row) -> list[_Task]:
    """The label tasks of a row, by their names in metrics.json."""
    keys = dict.fromkeys(key for cell in row.cells for key in cell.numbers)
    found = []
    for match in filter(None, map(_CHANCE.fullmatch, keys)):
        prefix = match[0].removesuffix("_chance")
        accuracy, ceiling = row.estimate(f"{prefix}_accuracy"), row.estimate(f"{prefix}_orbit_ceiling")
        chance = row.estimate(match[0])
        if accuracy is not None and ceiling is not None and chance is not None:
            name = row.pretext if match[1] is None else f"{row.pretext}: {match[1]}"
            apart = row.estimate(f"{prefix}_accuracy_apart")
            found.append(_Task(name, accuracy, apart, ceiling.value, chance.value))
    return found


def _in_words(task: _Task) -> str:
    apart = "" if task.apart is None else f", {100 * task.apart.value:.1f} % with every patch turned apart"
    bounds = f"ceiling of the orbits {100 * task.ceiling:.1f} %, chance {100 * task.chance:.1f} %"
    return f"{task.name}: {100 * task.accuracy.value:.1f} %{apart}, {bounds}"
