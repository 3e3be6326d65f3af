"""Figures of what a label task does to an image and to the turned image, drawn with the code of the task.

The first row shows an image x, its corruption t(x, y) and the label y. The second row shows the same after
an element g of the group has acted. By condition (A) of `eqssl.pretexts.labels.base`, its corruption is the
first one, turned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle
from torch import Tensor

from eqssl.report.style import FAINT, FAMILIES, INK, PAPER, REFERENCE, house_style
from eqssl.symmetry.turning import flip_and_degrees

if TYPE_CHECKING:
    from eqssl.pretexts.base import Pretext
    from eqssl.pretexts.labels import jigsaw, location, orientation, relative_turn
    from eqssl.pretexts.labels.base import Draw, LabelTask
    from eqssl.pretexts.labels.layouts import Layout

Marks = dict[int, str]
PANEL = 1.6  # inches
CENTRE, CHOSEN, EDGE = FAMILIES[0][1], FAMILIES[1][1], REFERENCE["random"]
"""Colours of the centre patch, the label's patch and other edges, visible on black and on white."""
LETTER = [(-2, -3), (-2, 3), (2, 3), (2, 2), (-1, 2), (-1, 0.5), (1, 0.5), (1, -0.5), (-1, -0.5), (-1, -3)]
"""Corners of the letter F, which every turn and every reflection changes."""


@dataclass(frozen=True)
class _Row:
    """An image, its label, the random draws of the corruption, and the input of the network."""

    x: str
    y: str
    image: Float[Tensor, "1 channel side side"]
    label: int
    draw: Draw
    inputs: Float[Tensor, "1 ..."]


def draw_task(
    task: LabelTask, image: UInt8[Tensor, "channel side side"], label: int, element: Any, seed: int
) -> Figure:
    """Draw the image, corruption and label of a task, and below them the turned ones.

    Args:
        task: relative location, jigsaw, orientation or relative turn.
        image: a stored image.
        label: the label y.
        element: the element g of the task's group.
        seed: of the random draws of the corruption.

    Raises:
        ValueError: there is no such label, or no drawing of such a task.
    """
    columns = check_drawing(task, label)
    with house_style():
        figure = Figure(figsize=(PANEL * columns, 2 * PANEL + 2), layout="constrained")
        paint_task(figure.subfigures(2, 1), task, image, label, element, seed)
    return figure


def check_drawing(task: LabelTask, label: int) -> int:
    """How many panels a row of the drawing of a task has.

    Raises:
        ValueError: there is no such label, or no drawing of such a task.
    """
    name = kind_of(task)
    if name not in _PAINTERS:
        raise ValueError(f"task: given {name!r}, allowed: {', '.join(_PAINTERS)}")
    if not 0 <= label < len(task.labels):
        raise ValueError(f"label: given {label}, allowed: 0 to {len(task.labels) - 1}")
    return _PAINTERS[name][0]


def paint_task(
    parts: Any,
    task: LabelTask,
    image: UInt8[Tensor, "channel side side"],
    label: int,
    element: Any,
    seed: int,
) -> None:
    """Draw both rows of a task, each into a part of a figure; see `draw_task`."""
    columns, paint = _PAINTERS[kind_of(task)]
    rows = _rows(task, image, label, element, seed)
    what = "x and y" if rows[1].x == "g x" else "y alone"
    by = f"g ({in_words(task.group.matrix(element))}) acts on {what}:"
    headings = ["An image x and a label y", f"{by}\nt({rows[1].x}, g · y) = g t(x, y)"]
    for row, part, heading in zip(rows, parts, headings, strict=True):
        name_part(part, heading)
        paint(task, row, part.subplots(1, columns), rows[0].inputs.aminmax())


def name_part(part: Any, heading: str) -> None:
    """Write a heading above a part of a figure."""
    part.suptitle(heading, x=0.01, ha="left", fontsize=10.5)


def kind_of(task: Pretext) -> str:
    """The kind of a task, as named in the settings."""
    from eqssl import pretexts

    return next(name for name in pretexts.names() if type(task) is pretexts.task_class(name))


def _rows(task: LabelTask, image: Tensor, label: int, element: Any, seed: int) -> tuple[_Row, _Row]:
    """Both sides of condition (A)."""
    x, y = image[None].float() / 255, torch.tensor([label])
    draw = task.draw(1, torch.Generator().manual_seed(seed))
    first = _Row("x", "y", x, label, draw, task.corrupt(x, y, draw))
    turned, moved = task.act_on_image(x, element), task.labels.permutation(element)[y]
    draw = task.act_on_draw(draw, y, element)
    # in the orientation task the image itself does not turn
    name = "x" if turned is x else "g x"
    return first, _Row(name, "g · y", turned, int(moved), draw, task.corrupt(turned, moved, draw))


def _paint_location(task: location.RelativeLocation, row: _Row, line: Sequence[Axes], limits: Any) -> None:
    outer = [slot for slot in range(len(task.slots)) if slot != task.centre]
    colours, corruption = {task.centre: CENTRE, outer[row.label]: CHOSEN}, f"t({row.x}, {row.y})"
    show(line[0], row.image, row.x, "the image")
    _overview(line[1], row, task.layout, colours, {})
    show(line[2], row.inputs[:, 0], corruption, "the centre patch and", limits, CENTRE)
    show(line[3], row.inputs[:, 1], corruption, f"the patch of slot {row.y}", limits, CHOSEN)
    numbers = {slot: str(label) for label, slot in enumerate(outer)}
    _outline(line[4], task.layout, torch.zeros(len(task.slots), 2), colours, numbers)
    _name(line[4], f"{row.y} = {row.label}", "the slots' numbers")


def _paint_jigsaw(task: jigsaw.Jigsaw, row: _Row, line: Sequence[Axes], limits: Any) -> None:
    numbers = {slot: str(tile) for slot, tile in enumerate(task.permutations[row.label].tolist())}
    show(line[0], row.image, row.x, "the image")
    _overview(line[1], row, task.layout, {}, {slot: str(slot) for slot in numbers})
    cells, size = task.settings.cells, row.inputs.shape[-1] + 2
    # a gap around each tile, as bright as the brightest pixel
    tiles = F.pad(row.inputs[0], (1, 1, 1, 1), value=float(limits[1])).unflatten(0, (cells, cells))
    mosaic = tiles.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    show(line[2], mosaic[None], f"t({row.x}, {row.y})", "slot i shows tile s(i)", limits)
    for slot, number in numbers.items():
        _number(line[2], slot % cells * size + 1, slot // cells * size + 1, number, va="top")
    _outline(line[3], task.layout, torch.zeros(len(task.slots), 2), {}, numbers)
    _name(line[3], f"{row.y} = {row.label}", f"s = ({' '.join(numbers.values())})")


def _paint_orientation(task: orientation.Orientation, row: _Row, line: Sequence[Axes], limits: Any) -> None:
    before = "mirrored, then " if int(row.draw["before"]) else "not mirrored, then "
    matrix = task.turning.matrix(task.turning.elements[int(task.representatives[row.label])])
    show(line[0], row.image, row.x, "the image")
    caption = f"{before if len(task.hidden_part) > 1 else ''}as {row.y}"
    show(line[1], row.inputs, f"t({row.x}, {row.y})", caption, limits)
    _letter(line[2], row, matrix)


def _paint_relative_turn(
    task: relative_turn.RelativeTurn, row: _Row, line: Sequence[Axes], limits: Any
) -> None:
    matrix = task.turning.matrix(task.turning.elements[int(task.elements[row.label])])
    corruption = f"t({row.x}, {row.y})"
    show(line[0], row.image, row.x, "the image")
    show(line[1], row.inputs[:, 0], corruption, "one view and", limits, CENTRE)
    show(line[2], row.inputs[:, 1], corruption, f"another, turned by {row.y}", limits, CHOSEN)
    _letter(line[3], row, matrix)


_PAINTERS: dict[str, tuple[int, Callable[..., None]]] = {
    "jigsaw": (4, _paint_jigsaw),
    "orientation": (3, _paint_orientation),
    "relative_location": (5, _paint_location),
    "relative_turn": (4, _paint_relative_turn),
}
"""The number of panels in a row of each task, and the function that draws them."""


def in_words(matrix: np.ndarray[Any, Any]) -> str:
    """What an element of a group does to an image."""
    flip, degrees = flip_and_degrees(matrix)
    turned = f"turned by {round(degrees) % 360}°" if round(degrees) % 360 else ""
    return ", ".join(["mirrored"] * flip + [turned] * bool(turned)) or "left as it is"


def show(
    axes: Axes, image: Tensor, title: str, caption: str, limits: Any = (0, 1), frame: str = FAINT
) -> None:
    """Show the only image of a batch, with the limits as black and white."""
    low, high = float(limits[0]), float(limits[1])
    pixels = ((image[0] - low) / max(high - low, 1e-6)).clamp(0, 1).permute(1, 2, 0).squeeze(-1)
    extent = (0, len(pixels), len(pixels), 0)
    axes.imshow(pixels.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)
    _name(axes, title, caption, frame)


def _letter(axes: Axes, row: _Row, matrix: np.ndarray[Any, Any]) -> None:
    """Show a label that is an element of a group, as what it does to a letter."""
    axes.add_patch(Polygon(np.array(LETTER) @ matrix.T, color=CHOSEN))
    axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    _name(axes, f"{row.y} = {row.label}", in_words(matrix))


def _overview(axes: Axes, row: _Row, layout: Layout, colours: Marks, numbers: Marks) -> None:
    """Show what patches are cut from, and where."""
    show(axes, layout.canvas(row.image), "", "where it is cut")
    _outline(axes, layout, row.draw["shifts"][0], colours, numbers)


def _outline(axes: Axes, layout: Layout, shifts: Tensor, colours: Marks, numbers: Marks) -> None:
    """Draw the edges of all patches, some in other colours, some with numbers."""
    from eqssl.pretexts.labels.layouts import Grid

    size, side = layout.size, layout.side
    for slot, (down, right) in enumerate((layout.places(torch.zeros(1)) + side / 2 + shifts).tolist()):
        edge: Any = Circle((right, down), size / 2)
        if isinstance(layout, Grid):
            edge = Rectangle((right - size / 2, down - size / 2), size, size)
        edge.set(fill=False, edgecolor=colours.get(slot, EDGE), linewidth=2.5 if slot in colours else 1.2)
        axes.add_patch(edge)
        if slot in numbers:
            _number(axes, right, down, numbers[slot], ha="center", va="center")
    axes.set(xlim=(0, side), ylim=(side, 0), aspect="equal")


def _number(axes: Axes, right: float, down: float, number: str, **where: Any) -> None:
    box = {"facecolor": PAPER, "alpha": 0.85, "linewidth": 0, "pad": 1.5}
    axes.text(right, down, number, fontsize=9, color=INK, bbox=box, **where)


def _name(axes: Axes, title: str, caption: str, frame: str = FAINT) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(caption, fontsize=9.5)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=frame, linewidth=0.8 if frame == FAINT else 3)
