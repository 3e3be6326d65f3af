"""Draw the figures of docs/concepts.md: `python tools/draw_concepts.py [FOLDER]`, docs unless given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eqssl.nn.exactness import is_exact
from eqssl.report.style import house_style, save_figure
from eqssl.symmetry import GSet, grid_slots, group

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#ee8866")
RING = [(row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
KERNEL, STRIDE, PADDING = 3, 2, 1


def slots(name: str) -> GSet:
    """The eight outer cells of a 3 x 3 grid as the labels of a group."""
    return grid_slots(group(name), 3, RING)


def orbits() -> Figure:
    """The orbits of the eight slots under each group of the pixel grid, one colour for each."""
    names = ("trivial", "D1", "C2", "D2", "C4", "D4")
    figure = Figure(figsize=(8, 1.75), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        labels = slots(name)
        for (row, column), orbit, label in zip(RING, labels.orbit_of.tolist(), range(8), strict=True):
            axes.add_patch(Rectangle((column, 2 - row), 0.92, 0.92, color=COLOURS[orbit]))
            axes.text(column + 0.46, 2.46 - row, str(label), ha="center", va="center", color="white")
        axes.set(xlim=(-0.1, 3), ylim=(-0.1, 3), aspect="equal", title=f"{name}: {len(labels.orbits())}")
        axes.axis("off")
    return figure


def centres(side: int) -> list[int]:
    """The pixels of a row on which the windows of the stride lie."""
    return list(range(0, side + 2 * PADDING - KERNEL + 1, STRIDE))


def mirrored(side: int) -> list[int]:
    """The pixels on which the windows lie after the row was mirrored, read in the row as it was."""
    return sorted(side - 1 - centre for centre in centres(side))


def parity() -> Figure:
    """Windows of 3 pixels with stride 2 on rows of 8 and of 7 pixels, and on the mirrored row."""
    figure = Figure(figsize=(8, 1.9), layout="constrained")
    for axes, side in zip(figure.subplots(1, 2), (8, 7), strict=True):
        for height, found, text in ((1.3, centres(side), "row"), (0, mirrored(side), "mirrored")):
            _row(axes, side, height, found)
            axes.text(-0.3, height + 0.45, text, ha="right", va="center")
        verdict = "the same pixels" if is_exact(side, KERNEL, STRIDE, PADDING) else "other pixels"
        axes.set(xlim=(-2.2, 8.2), ylim=(-0.1, 2.4), aspect="equal", title=f"{side} pixels: {verdict}")
        axes.axis("off")
    return figure


def _row(axes: Axes, side: int, height: float, found: list[int]) -> None:
    for pixel in range(side):
        colour = COLOURS[0] if pixel in found else "#dddddd"
        axes.add_patch(Rectangle((pixel, height), 0.92, 0.92, color=colour))


FIGURES = {"orbits": orbits, "parity": parity}


def drawn() -> Iterator[tuple[str, Figure]]:
    """Each figure with its name."""
    with house_style():
        for name, draw in FIGURES.items():
            yield name, draw()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, figure in drawn():
        save_figure(figure, folder / f"{name}.png")
