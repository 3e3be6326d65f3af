"""How equivariant the encoders are, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from eqssl.machine.tracing.tables import section
from eqssl.report.cells import Cell
from eqssl.report.charts import Chart, Panel, by_group
from eqssl.report.style import SOFT, LineStyle
from eqssl.report.tables import Row

TOLERANCE = 1e-5  # what the method demands of an exact group in float32
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
Curve = list[tuple[str, float]]


def equivariance_by_stage(rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Chart:
    """Largest relative error of each stage and of the invariant feature, with a panel for each group."""
    curves = {id(row): _curve(row) for row in rows}
    values = [error for curve in curves.values() for _, error in curve]
    lowest = min([*(value for value in values if value > 0), TOLERANCE])
    floor = 10.0 ** (math.floor(math.log10(lowest)) - 1)
    top = 10.0 ** math.ceil(math.log10(max([*values, TOLERANCE]) * 1.5))

    def draw(axes: Axes, members: Sequence[Row]) -> None:
        names = list(dict.fromkeys(name for row in members for name, _ in curves[id(row)]))
        for row in members:
            x = [names.index(name) for name, _ in curves[id(row)]]
            y = [max(error, floor) for _, error in curves[id(row)]]
            axes.plot(x, y, **styles[row.pretext].drawing, clip_on=False)
        axes.set_yscale("log")
        axes.set_ylim(floor, top)
        axes.set_xlim(-0.3, len(names) - 0.7)
        axes.axhline(TOLERANCE, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(names)), names)
        axes.set_xlabel("stage")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value, floor)))
        axes.set_ylabel("relative error (log scale)")

    panels = []
    for title, members in by_group([row for row in rows if curves[id(row)]]):
        words = "; ".join(
            f"{row.pretext}: at most {max(e for _, e in curves[id(row)]):.1e}" for row in members
        )
        panels.append(Panel(title, partial(draw, members=members), words))
    counts = sorted({n for row in rows for cell in row.cells if (n := _measured_images(cell)) is not None})
    images = f"n = {' or '.join(f'{n:,}' for n in counts)} " if counts else ""
    caption = (
        "Largest relative error over the elements of the encoder's own group and over seeds, after each "
        f"equivariant stage and of the invariant feature, on {images}test images. An error of exactly 0 lies "
        "on the lowest line. Dashed: 10⁻⁵, the limit for groups that are exact on the pixel grid, in "
        "float32. No interval: it is a maximum."
    )
    return Chart("equivariance", "Equivariance by stage", caption, panels, styles, "it was not measured.")


def _curve(row: Row) -> Curve:
    """The largest error over the seeds after each stage, and of the invariant feature."""
    found: dict[str, float] = {}
    for cell in row.cells:
        measured = section(cell.details, "equivariance")
        stages = measured.get("stages")
        errors = list(stages) if isinstance(stages, list) else []
        named = [(str(number), error) for number, error in enumerate(errors, start=1)]
        for name, error in [*named, ("invariant", measured.get("invariant"))]:
            if isinstance(error, int | float):
                found[name] = max(found.get(name, 0.0), float(error))
    return list(found.items())


def _measured_images(cell: Cell) -> int | None:
    count = section(cell.details, "equivariance").get("images")
    return count if isinstance(count, int) else None


def _power(value: float, floor: float) -> str:
    return "0" if value <= floor * 1.001 else "10" + f"{round(math.log10(value))}".translate(_SUPERSCRIPT)
