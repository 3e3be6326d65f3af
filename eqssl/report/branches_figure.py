"""A drawing of the branches of a joint-embedding pretext, as its modules say what there is.

The upper row is the way of the first view, the lower that of the second. Boxes with broken edges get no
gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from eqssl.report.style import FAMILIES, INK, PAPER, SOFT

if TYPE_CHECKING:
    from eqssl.pretexts.joint.branches import JointEmbedding

TRAINED, FIXED, SHARED = FAMILIES[0][0], FAMILIES[3][0], FAMILIES[2][0]
"""Colours of what is trained, of what gets no gradient, and of the loss."""
GAP, HEIGHT = 0.35, 0.62
UPPER, MIDDLE, LOWER = 1.7, 0.85, 0.0
START = 0.5

LOSSES = {
    "simclr": "NT-Xent:\ns of the pair against\ns to all others",
    "moco": "InfoNCE:\ns of the pair against\ns to the queue",
    "moco_v3": "InfoNCE:\ns of the pair against\ns to all other keys,\nboth ways round",
    "byol": "2 - 2 s of the pair,\nboth ways round",
    "simsiam": "-s of the pair,\nboth ways round",
    "barlow_twins": "align the pair, then\ncorrelate fields over\nbatch x group",
    "vicreg": "align the pair, then\ndistance, variance and\ncovariance of fields",
    "swav": "cross-entropy,\nboth ways round",
    "dino": "cross-entropy,\nboth ways round",
}
"""What the last box says of each kind; others have `loss`."""


class Branches(NamedTuple):
    """What the boxes of both branches say, from the view to the loss.

    Attributes:
        upper: of the first view.
        lower: of the second view.
        fixed: how many boxes at the end of the lower branch get no gradient.
        follows: whether the lower branch is a momentum branch.
        between: what both branches use, such as prototypes.
        below: what takes part besides both views, such as a queue.
        loss: of the last box.
    """

    upper: list[str]
    lower: list[str]
    fixed: int
    follows: bool
    between: str
    below: str
    loss: str


def branches_of(task: JointEmbedding) -> Branches:
    """The boxes of a pretext, from the modules that it has."""
    from eqssl.report.pretext_figures import kind_of

    momentum = hasattr(task, "momentum")
    upper = ["encoder", "projector"]
    lower = ["momentum\nencoder", "momentum\nprojector"] if momentum else ["encoder", "projector"]
    fixed = 2 if momentum else 0
    between = below = ""
    if hasattr(task, "predictor"):
        upper.append("predictor")
        if not momentum:
            lower.append("no gradient")
            fixed = 1
    if hasattr(task, "prototypes"):
        between = "prototypes c,\nc' follows" if momentum else "prototypes c\n(fields)"
        upper += ["s(z, c)", "softmax"]
        lower += ["s(z, c')" if momentum else "s(z, c)"]
        lower += ["centre,\nsharpen" if hasattr(task, "centre") else "Sinkhorn"]
        fixed += 2
    if getattr(task, "queue", None) is not None:
        below = f"queue of {len(task.queue.kept):,} earlier embeddings"  # type: ignore[union-attr, arg-type]
    return Branches(upper, lower, fixed, momentum, between, below, LOSSES.get(kind_of(task), "loss"))


def paint_branches(axes: Axes, task: JointEmbedding) -> None:
    """Draw both branches, from the views at the left to the loss at the right."""
    found = branches_of(task)
    columns = max(len(found.upper), len(found.lower))
    width = 1.25 if columns > 3 else 1.6
    end = START + columns * (width + GAP)
    axes.axis("off")
    for height, view, boxes, fixed in (
        (UPPER, "v", found.upper, 0),
        (LOWER, "w", found.lower, found.fixed),
    ):
        last = _branch(axes, height, view, boxes, fixed, width)
        axes.plot((last, end - GAP), (height, height), color=INK, linewidth=1.1)
        _arrow(axes, (end - GAP, height), (end, MIDDLE + (0.3 if height > MIDDLE else -0.3)))
    _box(axes, end, MIDDLE, 2.1, found.loss, SHARED, tall=1.5)
    _between(axes, found, width)
    if found.below:
        # what balances the assignments uses the queue, if there is such a box; else the loss does
        user = end - GAP - width / 2 if found.between else end + 1.05
        _box(axes, end - 2.2, LOWER - 0.95, 4.3, found.below, FIXED, dashed=True, tall=0.4)
        _arrow(axes, (user, LOWER - 0.75), (user, LOWER - HEIGHT / 2 if found.between else MIDDLE - 0.75))
    axes.set(xlim=(-0.2, end + 2.2), ylim=(-1.2 if found.below else -0.45, UPPER + 0.4))


def _branch(axes: Axes, height: float, view: str, boxes: list[str], fixed: int, width: float) -> float:
    """One branch, up to its last box, whose right edge is returned."""
    axes.text(0, height, view, fontsize=12, fontweight="bold", color=INK, ha="center", va="center")
    right = 0.15
    for number, text in enumerate(boxes):
        left, is_fixed = START + number * (width + GAP), number >= len(boxes) - fixed
        _arrow(axes, (right, height), (left, height))
        _box(axes, left, height, width, text, FIXED if is_fixed else TRAINED, dashed=is_fixed)
        right = left + width
    return right


def _between(axes: Axes, found: Branches, width: float) -> None:
    """What stands between the branches: shared weights, weights that follow, or prototypes."""
    told = "weights follow" if found.follows else "the same weights"
    style: dict[str, Any] = {"fontsize": 9.5, "color": SOFT, "ha": "center", "va": "center"}
    axes.text(START + width + GAP / 2, MIDDLE, told, **style)
    if found.follows:
        _vertical(axes, START + width / 2, UPPER - HEIGHT / 2, LOWER + HEIGHT / 2, SOFT)
    if found.between:
        left = START + 2 * (width + GAP)
        _box(axes, left, MIDDLE, width, found.between, TRAINED, tall=0.6)
        _vertical(axes, left + width / 2, MIDDLE + 0.3, UPPER - HEIGHT / 2)
        _vertical(axes, left + width / 2, MIDDLE - 0.3, LOWER + HEIGHT / 2)


def _box(
    axes: Axes,
    left: float,
    middle: float,
    width: float,
    text: str,
    colour: str,
    dashed: bool = False,
    tall: float = HEIGHT,
) -> None:
    style = "round,pad=0,rounding_size=0.1"
    box = FancyBboxPatch((left, middle - tall / 2), width, tall, boxstyle=style)
    box.set(facecolor=PAPER, edgecolor=colour, linewidth=1.5, linestyle=(0, (3, 2)) if dashed else "-")
    axes.add_patch(box)
    axes.text(left + width / 2, middle, text, fontsize=9.5, color=colour, ha="center", va="center")


def _vertical(axes: Axes, right: float, start: float, end: float, colour: str = INK) -> None:
    _arrow(axes, (right, start), (right, end), colour)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    shape = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=shape)
