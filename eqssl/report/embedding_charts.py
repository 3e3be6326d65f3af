"""What training did to the embeddings of joint-embedding pretexts, against epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from eqssl.report.cells import Curve
from eqssl.report.charts import Chart, Panel, by_group, draw_epochs, mean_curve
from eqssl.report.style import LineStyle
from eqssl.report.tables import Row

QUANTITIES = {
    "rank": ("effective rank", "effective rank"),
    "alignment": ("alignment", "alignment (0: views agree)"),
    "uniformity": ("uniformity", "uniformity (low: spread out)"),
    "turn_found": ("turns found", "share of turns found"),
}
"""Column of loss.csv -> title of its panels and label of their axis, in the order of the panels."""


def embedding_curves(rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Chart:
    """Rank, alignment, uniformity and found turns against epochs: a panel for each of them and each group."""
    panels = [
        _panel(f"{words}, {title}", quantity, members, styles)
        for quantity, (words, _) in QUANTITIES.items()
        for title, members in by_group([row for row in rows if _curves(row, quantity)])
    ]
    measured = [row for row in rows if any(_curves(row, quantity) for quantity in QUANTITIES)]
    shown = {row.pretext: styles[row.pretext] for row in measured}
    caption = (
        "Means over the steps of each epoch, from up to 128 images of each batch. Effective rank: in how "
        "many directions embeddings of different images lie. Alignment: mean squared distance of an image's "
        "two views, from 0 to 4. Uniformity: the logarithm of a mean over different images, from -8 to 0; at "
        "0 all have the same embedding. Turns found: share of pairs whose best element of the group is the "
        "turn that the two views differ by; guessing finds 1 / |G|. Pretexts that absorb turns compare "
        "embeddings up to a turn, plain ones as they are."
        + (" Lines are means over seeds." if any(row.seeds > 1 for row in measured) else "")
    )
    empty = "no pretext of this grid compares embeddings, or its training did not record them."
    return Chart("embeddings", "Embeddings in training", caption, panels, shown, empty)


def _curves(row: Row, quantity: str) -> dict[str, list[tuple[int, float]]]:
    """The mean curve over seeds of each embedding of a row, by the name of its part or ""."""
    found: dict[str, list[Curve]] = {}
    for cell in row.cells:
        for name, curve in cell.diagnostics.items():
            part, _, key = name.rpartition("/")
            if key == quantity and curve:
                found.setdefault(part, []).append(curve)
    return {part: mean_curve(curves) for part, curves in found.items()}


def _panel(title: str, quantity: str, rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> Panel:
    curves = [
        (row.pretext, f"{row.pretext}: {part}" if part else row.pretext, curve)
        for row in rows
        for part, curve in _curves(row, quantity).items()
    ]
    words = "; ".join(f"{name}: from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for _, name, curve in curves)
    lines = [(styles[pretext], curve) for pretext, _, curve in curves]
    return Panel(title, partial(draw_epochs, label=QUANTITIES[quantity][1], lines=lines), words)
