"""How often each intensity is stored, in a sample of the training images."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eqssl.data.disc import disc
from eqssl.report.charts import Chart, Panel
from eqssl.report.pictures import StoredImages
from eqssl.report.style import FAMILIES

MOST_IMAGES = 1000
MOST_VALUES = 2**28
"""Of all channels of all images of the sample."""
BINS = 64
_RGB = (("red", FAMILIES[1][0]), ("green", FAMILIES[2][0]), ("blue", FAMILIES[0][0]))


@dataclass(frozen=True)
class Intensities:
    """Counts of stored values.

    Attributes:
        images: how many were counted.
        counts: how often each value occurs in each channel.
        low, high: intensities at the source that the smallest and the largest value stand for.
    """

    images: int
    counts: Int[np.ndarray, "channels values"]
    low: float
    high: float


def chosen(keys: Sequence[str], most: int) -> list[int]:
    """Rows of at most so many images: those whose keys have the smallest hashes, so always the same ones."""
    numbered = ((hashlib.sha256(f"page {key}".encode()).digest(), row) for row, key in enumerate(keys))
    return [row for _, row in heapq.nsmallest(most, numbered)]


def count_intensities(stored: StoredImages) -> Intensities:
    """Count the values of at most 1,000 training images inside the mask.

    Raises:
        ValueError: a tar or an image is damaged; names the tar, the key and the reason.
        OSError: a tar cannot be read.
    """
    index = stored.index
    channels, height, width = index.image_shape
    columns, levels = index.splits["train"], np.iinfo(index.pixels).max + 1
    most = max(1, min(MOST_IMAGES, MOST_VALUES // (channels * height * width)))
    rows = sorted(chosen(columns.keys, most), key=lambda row: (columns.tar[row], columns.offset[row]))
    inside = disc(height) if index.mask == "disc" else np.ones((height, width), bool)
    counts = np.zeros((channels, levels), np.int64)
    for row in rows:
        values = stored.pixels("train", row)[inside]
        for channel in range(channels):
            counts[channel] += np.bincount(values[:, channel], minlength=levels)
    low, high = index.range or (0.0, float(levels - 1))
    return Intensities(len(rows), counts, low, high)


def intensity_chart(found: Intensities, masked: bool) -> Chart:
    """A histogram for each channel."""
    channels, levels = found.counts.shape
    shares = 100 * found.counts / found.counts.sum(1, keepdims=True)
    names = [("gray", FAMILIES[0][0])] if channels == 1 else list(_RGB)
    if channels not in (1, 3):
        names = [(f"channel {number}", FAMILIES[0][0]) for number in range(1, channels + 1)]
    panels = []
    for (name, colour), share in zip(names, shares, strict=True):
        words = f"{share[0]:.1f} % of the pixels are 0, {share[-1]:.1f} % are {levels - 1:,}"
        bars = share.reshape(BINS, -1).sum(1)
        panels.append(
            Panel(name, partial(_draw, bars=bars, low=found.low, high=found.high, colour=colour), words)
        )
    where = " inside the disc" if masked else ""
    images = f"{found.images:,} training image{'s' * (found.images != 1)}"
    scale = f"0 stands for {found.low:,g} and less, {levels - 1:,} for {found.high:,g} and more. "
    ends = "; ".join(f"{panel.title}: {panel.words}" for panel in panels)
    caption = (
        f"Pixels{where} of {images}, in {BINS} bins, on a logarithmic scale. "
        f"{scale if (found.low, found.high) != (0, levels - 1) else ''}{ends[0].upper()}{ends[1:]}."
    )
    return Chart("intensities", "Intensities", caption, panels, {})


def _draw(axes: Axes, bars: Float[np.ndarray, " bins"], low: float, high: float, colour: str) -> None:
    edges = np.linspace(low, high, BINS + 1)
    least = float(bars[bars > 0].min())
    axes.set_yscale("log")
    axes.stairs(np.maximum(bars, least / 4), edges, baseline=least / 4, fill=True, color=colour)
    axes.set(xlim=(low, high), ylim=(least / 2, 150), xlabel="intensity", ylabel="pixels (%)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
