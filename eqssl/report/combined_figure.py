"""A figure of a weighted sum of a label task and SimCLR: the inputs of both, before and after a turn.

The first two rows show the label task (`eqssl.report.pretext_figures`). The third shows two views of the
image, then the same pair with the first view turned. With a similarity that absorbs turns, both pairs have
the same loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from eqssl.report.pretext_figures import PANEL, check_drawing, in_words, kind_of, name_part, paint_task, show
from eqssl.report.style import house_style

if TYPE_CHECKING:
    from eqssl.pretexts import combined
    from eqssl.pretexts.joint import simclr
    from eqssl.pretexts.labels.base import LabelTask


def draw_combined(
    task: combined.Combined, image: UInt8[Tensor, "channel side side"], label: int, element: Any, seed: int
) -> Figure:
    """Draw a sum of a label task and SimCLR: the input of each part, and the turned one.

    Args:
        task: the sum.
        image: a stored image.
        label: the label y of the label task.
        element: the element g of the task's group.
        seed: of everything random but the label.

    Raises:
        ValueError: the parts are not a label task and SimCLR, or there is no such label.
    """
    labels, contrast = _parts(task)
    columns = max(check_drawing(labels, label), 4)
    with house_style():
        figure = Figure(figsize=(PANEL * columns, 3 * PANEL + 3), layout="constrained")
        subfigures: Any = figure.subfigures(3, 1)
        *rows, last = subfigures
        paint_task(rows, labels, image, label, element, seed)
        name_part(last, _heading(task, contrast, element))
        _paint_views(last.subplots(1, columns), contrast, image, element, seed)
    return figure


def _heading(task: combined.Combined, contrast: simclr.SimCLR, element: Any) -> str:
    total = " + ".join(f"{weight:g} · L({name})" for name, weight in task.weights.items())
    equal = "≠" if contrast.similarity is None else "="
    turned = in_words(task.group.matrix(element))
    return f"L = {total}\nTwo views v, w of x; g ({turned}) acts on v: L(g v, w) {equal} L(v, w)"


def _parts(task: combined.Combined) -> tuple[LabelTask, simclr.SimCLR]:
    from eqssl.pretexts.joint import simclr
    from eqssl.pretexts.labels.base import LabelTask

    parts = list(task.parts().values())
    labels = [part for part in parts if isinstance(part, LabelTask)]
    contrasts = [part for part in parts if isinstance(part, simclr.SimCLR)]
    if len(parts) != 2 or not labels or not contrasts:
        kinds = ", ".join(kind_of(part) for part in parts)
        raise ValueError(f"parts: given {kinds}, allowed: one label task and simclr")
    return labels[0], contrasts[0]


def _paint_views(line: Any, contrast: simclr.SimCLR, image: Tensor, element: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = contrast.draw_views(image[None], generator)
    panels = [(first, "v", "a view of x"), (second, "w", "another one")]
    panels += [(contrast.group.act(first, element), "g v", "the first, turned"), (second, "w", "the other")]
    for axes, (view, title, caption) in zip(line, panels, strict=False):
        show(axes, view, title, caption)
    for axes in line[len(panels) :]:
        axes.axis("off")
