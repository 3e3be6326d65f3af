"""Maps of features: turned test images in two principal components, coloured by class and by turn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from sklearn.decomposition import PCA

from eqssl.report.cells import Cell
from eqssl.report.pictures import address_of
from eqssl.report.style import REFERENCE, house_style
from eqssl.report.turned_features import MOST_POINTS, Turned

SIDE, DPI = 2.6, 120
CLASSES = 10
"""Most classes that have a colour of their own."""
COLOURS = tuple(to_hex(colour) for colour in colormaps["tab10"].colors)  # type: ignore[attr-defined]
OTHERS = REFERENCE["random"]
TURNS = colormaps["hsv"]


@dataclass(frozen=True)
class FeatureMap:
    """The map of one encoder.

    Attributes:
        title: group and pretext.
        by_class, by_turn: pictures as `data:` addresses; None where there are no labels, or one turn.
        side: of a picture in pixels.
        images, turns: how many images are drawn, each turned how often.
        explained: shares of the variance of the two components.
    """

    title: str
    by_class: str | None
    by_turn: str | None
    side: int
    images: int
    turns: int
    explained: tuple[float, float]


def feature_map(cell: Cell, found: Turned) -> FeatureMap | None:
    """The map of one cell; None if its features are all the same or too few."""
    turns = found.turns() or [0]
    images = min(len(found.keys), max(1, MOST_POINTS // len(turns)))
    points = np.concatenate([found.parts[place][:images] for place in turns])
    if len(points) < 3 or points.shape[1] < 2 or not points.std():
        return None
    components = PCA(2, svd_solver="full")
    places = components.fit_transform(points.astype(float))
    labels = np.tile(found.labels[:images], len(turns))
    degrees = np.repeat([found.moves[place].turn or 0.0 for place in turns], images)
    by_class = _picture(places, class_colours(labels)) if (labels >= 0).any() else None
    by_turn = _picture(places, [to_hex(TURNS(angle / 360)) for angle in degrees]) if len(turns) > 1 else None
    first, second = components.explained_variance_ratio_
    title = f"{cell.group}, {cell.pretext}"
    return FeatureMap(
        title, by_class, by_turn, round(SIDE * DPI), images, len(turns), (float(first), float(second))
    )


def class_colours(labels: np.ndarray) -> list[str]:
    """The colour of each image: the first classes have one of their own, all others are gray."""
    return [COLOURS[label] if 0 <= label < CLASSES else OTHERS for label in labels.tolist()]


def class_legend(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Name and colour of the classes."""
    named = list(zip(classes[:CLASSES], COLOURS, strict=False))
    return [*named, ("others", OTHERS)] if len(classes) > CLASSES else named


def turn_legend() -> str:
    """The colours of turns from 0 to 360 degrees, as CSS."""
    stops = ", ".join(to_hex(TURNS(step / 12)) for step in range(13))
    return f"linear-gradient(to right, {stops})"


def _picture(places: Float[np.ndarray, "points 2"], colours: Sequence[str]) -> str:
    """Points in colours, without axes, on nothing."""
    # drawn in an order of chance, so that no class and no turn covers the others
    order = np.random.Generator(np.random.Philox(key=[0, len(places)])).permutation(len(places))
    with house_style():
        figure = Figure(figsize=(SIDE, SIDE), dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        x, y = places[order].T
        axes.scatter(x, y, s=5, c=[colours[place] for place in order], linewidths=0, alpha=0.8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", transparent=True)
    with Image.open(buffer) as image:
        return address_of(image.convert("RGBA"))
