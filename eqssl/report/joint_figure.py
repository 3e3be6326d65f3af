"""A figure of a joint-embedding pretext: two views, what the branches do with them, and what a turn changes.

The first row shows an image, two of its views, and the first view turned by an element g of the group. The
second shows the branches (`eqssl.report.branches_figure`). The third has the loss of a batch before and after
one view of one image is turned: with turns absorbed it stays the same, which is condition (C) of
`eqssl.pretexts.joint.branches`, and in the plain twin it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from eqssl.report.branches_figure import paint_branches
from eqssl.report.pretext_figures import in_words, name_part, show
from eqssl.report.style import FAMILIES, SOFT, house_style

if TYPE_CHECKING:
    from eqssl.pretexts.joint.branches import JointEmbedding

WIDTH, HEIGHTS = 8.0, (2.35, 2.6, 1.5)
"""Of the figure and of its three rows, in inches."""
PROGRESS = 0.5
"""Share of the training after which losses are computed: queues are in use, and prototypes are trained."""
SAME = 1e-8
"""Two losses are the same if they differ by less, relative to the first or absolute if that is below 1."""


class Turned(NamedTuple):
    """The loss of a batch, and the loss after one view of one image was turned; float64."""

    before: float
    after: float

    @property
    def stays(self) -> bool:
        """Whether both are the same up to rounding."""
        return abs(self.after - self.before) < SAME * max(1.0, abs(self.before))


def draw_joint(
    task: JointEmbedding,
    twin: JointEmbedding,
    images: UInt8[Tensor, "batch channel side side"],
    element: Any,
    seed: int,
) -> Figure:
    """Draw a pretext with turns absorbed, with the losses of its plain twin beside its own.

    Args:
        task: a pretext with a similarity that absorbs turns.
        twin: its plain twin.
        images: stored images, at least two; the first is shown.
        element: the element g of the group.
        seed: of the views.

    Raises:
        ValueError: the first absorbs no turns, the second does, they are of different kinds, or there is one
            image.
    """
    _check(task, twin, images)
    views = task.draw_views(images, torch.Generator().manual_seed(seed))
    with house_style():
        figure = Figure(figsize=(WIDTH, sum(HEIGHTS)), layout="constrained")
        subfigures: Any = figure.subfigures(3, 1, height_ratios=HEIGHTS)
        pictures, branches, losses = subfigures
        turned = in_words(task.group.matrix(element))
        name_part(pictures, f"Two views v, w of an image x; g ({turned}) acts on v alone")
        _paint_views(pictures.subplots(1, 4), task, images, views, element)
        name_part(branches, "What each view goes through (boxes with broken edges get no gradient)")
        paint_branches(branches.subplots(), task)
        name_part(losses, f"The loss of {len(images)} images, before and after v of this one image is turned")
        found = [(one, losses_around_turn(one, views, element)) for one in (task, twin)]
        _paint_losses(losses.subplots(), found)
    return figure


def losses_around_turn(
    task: JointEmbedding, views: Sequence[Float[Tensor, "batch channel side side"]], element: Any
) -> Turned:
    """The loss of given views, and the loss after the first view of the first image was turned."""
    first, *others = (view.double() for view in views)
    moved = torch.cat([task.group.act(first[:1], element), first[1:]])
    return Turned(_loss(task, [first, *others]), _loss(task, [moved, *others]))


def _loss(task: JointEmbedding, views: Sequence[Tensor]) -> float:
    """The loss of given views, by a copy: the networks, queues and centres of the task stay as they are."""
    from eqssl.pretexts.base import Step
    from eqssl.pretexts.views import TurnedView

    copy = deepcopy(task).double().train()
    given = [TurnedView(view, None) for view in views]
    copy.draw_turned_views = lambda images, generator: given  # type: ignore[method-assign]
    with torch.no_grad():
        return float(copy(Step(views[0], None, torch.Generator(), PROGRESS)).loss)


def _check(task: JointEmbedding, twin: JointEmbedding, images: Tensor) -> None:
    if type(task) is not type(twin):
        kinds = f"{type(task).__name__} and {type(twin).__name__}"
        raise ValueError(f"task, twin: given {kinds}, allowed: two of the same kind")
    if task.similarity is None or twin.similarity is not None:
        given = f"similarities {task.similarity} and {twin.similarity}"
        raise ValueError(f"task, twin: given {given}, allowed: one that absorbs turns, and then None")
    if len(images) < 2:
        raise ValueError(f"images: given {len(images)}, allowed: at least 2")


def _paint_views(
    line: Sequence[Axes], task: JointEmbedding, images: Tensor, views: Sequence[Tensor], element: Any
) -> None:
    first, second = views[0][:1], views[1][:1]
    show(line[0], images[:1].float() / 255, "x", "the image")
    show(line[1], first, "v", "a view of it")
    show(line[2], second, "w", "another view")
    show(line[3], task.group.act(first, element), "g v", "the first, turned")


def _paint_losses(axes: Axes, found: Sequence[tuple[JointEmbedding, Turned]]) -> None:
    """A table of a row for each form; its last column says whether the loss stays."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 3))
    columns = (0.02, 0.4, 0.6, 0.8)
    for right, heading in zip(columns[1:], ("L(v, w)", "L(g v, w)", "change"), strict=True):
        axes.text(right, 2.5, heading, color=SOFT, fontsize=10, va="center")
    for down, (task, losses), colour in zip((1.5, 0.5), found, FAMILIES[1], strict=True):
        form = f"similarity {task.similarity}" if task.similarity else "plain twin"
        told = (form, f"{losses.before:.5f}", f"{losses.after:.5f}", _change(losses))
        for right, text in zip(columns, told, strict=True):
            axes.text(right, down, text, color=colour, fontsize=11.5, fontweight="bold", va="center")


def _change(losses: Turned) -> str:
    return "none" if losses.stays else f"{losses.after - losses.before:+.5f}"
