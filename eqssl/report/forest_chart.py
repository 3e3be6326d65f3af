"""Forest plot: each paired difference as a point with its interval, beside a line at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eqssl.evaluation.claims import Pair
from eqssl.report.cells import MINUS
from eqssl.report.charts import Chart, Panel
from eqssl.report.differences import KINDS, Kind, in_words
from eqssl.report.style import FAMILIES, INK, REFERENCE, SOLID, LineStyle
from eqssl.report.verdict_text import decided, interval, points

TITLES: dict[Kind, str] = {
    "twin": "Minus its plain twin",
    "random": "Minus the untrained network",
    "trivial": "Minus the plain network",
}
BETTER = LineStyle(FAMILIES[0][0], SOLID, "o", True)
WORSE = LineStyle(FAMILIES[1][0], SOLID, "o", True)
OPEN = LineStyle(REFERENCE["random"], SOLID, "o", False)
LEGEND = {"more than chance, better": BETTER, "more than chance, worse": WORSE, "undecided": OPEN}
WIDTH, LINE, REST = 5.0, 0.245, 0.95
"""Inches: width of a panel, height of a row, and of what is above and below the rows."""


def forest(found: Mapping[Kind, Sequence[Pair]], metric: str, dataset: str) -> Chart:
    """Differences of one data set, the largest first, with a panel for each kind.

    Args:
        found: the pairs of each kind.
        metric: the column that was subtracted.
        dataset: its name, for the caption.
    """
    kinds = [kind for kind in KINDS if found.get(kind)]
    ends = [100 * end for kind in kinds for pair in found[kind] for end in _ends(pair)]
    margin = 0.06 * (max([*ends, 0.5]) - min([*ends, -0.5]))
    limits = min([*ends, -0.5]) - margin, max([*ends, 0.5]) + margin
    panels = []
    for kind in kinds:
        pairs = sorted(found[kind], key=lambda pair: -pair.difference.mean)
        height = LINE * len(pairs) + REST
        panels.append(
            Panel(TITLES[kind], partial(_draw, pairs=pairs, limits=limits), _words(pairs), (WIDTH, height))
        )
    several = any(len(pair.difference.seeds) > 1 for kind in kinds for pair in found[kind])
    images = sorted({n for kind in kinds for pair in found[kind] if (n := pair.difference.images)})
    caption = (
        f"{dataset}: differences of accuracy in points ({in_words(metric)}), each paired by seed"
        f"{' and test image' if images else ''}. {_sample(images)}{_bars(several, images)}"
    )
    title = "Differences"
    return Chart(
        "forest", title, caption, panels, LEGEND if several else {"undecided": OPEN}, "no pair of cells."
    )


def _sample(images: Sequence[int]) -> str:
    return f"n = {' or '.join(f'{n:,}' for n in images)} test images. " if images else ""


def _bars(several: bool, images: Sequence[int]) -> str:
    """What the bars are."""
    if several:
        over = "seeds and test images" if images else "seeds"
        return f"Bars: 95 % intervals over {over}, not corrected for the number of pairs."
    if images:
        return "Bars: 95 % intervals over test images alone. Seeds were not repeated, so nothing is decided."
    return "No intervals are known. Seeds were not repeated, so nothing is decided."


def _draw(axes: Axes, pairs: Sequence[Pair], limits: tuple[float, float]) -> None:
    axes.axvline(0, color=INK, linewidth=1)
    for place, pair in enumerate(pairs):
        style, difference = _style(pair), pair.difference
        low, high = (100 * end for end in _ends(pair))
        axes.plot([low, high], [place, place], color=style.colour, linewidth=1.8, solid_capstyle="butt")
        axes.plot([100 * difference.mean], [place], **{**style.drawing, "markersize": 6})
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_xlim(*limits)
    axes.set_yticks(range(len(pairs)), [f"{pair.left.pretext}, {pair.left.group}" for pair in pairs])
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0")
    )
    axes.set_xlabel("points of accuracy")


def _style(pair: Pair) -> LineStyle:
    if not decided(pair.difference):
        return OPEN
    return BETTER if pair.difference.mean > 0 else WORSE


def _ends(pair: Pair) -> tuple[float, float]:
    """The ends of the interval; the mean twice where it is not known."""
    difference = pair.difference
    if isfinite(difference.low) and isfinite(difference.high):
        return difference.low, difference.high
    return difference.mean, difference.mean


def _words(pairs: Sequence[Pair]) -> str:
    return "; ".join(
        f"{pair.left.pretext}, {pair.left.group}: {points(pair.difference.mean)} points"
        + (f" ({ends})" if (ends := interval(pair.difference)) else "")
        for pair in pairs
    )
