"""A map of the images of an embedding: near features are near each other, and a point shows its image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from eqssl.config.sources import SourceSettings
from eqssl.data.looking.survey import spread
from eqssl.data.sources import open_source
from eqssl.data.sources.base import Outlined, Sample
from eqssl.evaluation.embed.columns import METADATA
from eqssl.evaluation.embed.forming import formed
from eqssl.machine.files import write_text
from eqssl.machine.live.progress import track
from eqssl.report.feature_map import class_colours, class_legend
from eqssl.report.pages import environment
from eqssl.report.pictures import GAP, SIDE, Picture, address_of, in_colours, sheet, small
from eqssl.report.style import css_variables, house_style, save_figure

MOST = 2000
"""Images of a map; of more, so many are spread evenly."""
ENDINGS = (".html", ".png")
_ACROSS = 50
_WIDTH = 1000.0


@dataclass(frozen=True)
class _Points:
    """The images of a map.

    Attributes:
        numbers: rows of the file.
        keys, names, labels: of each image.
        places: in two principal components.
        explained: the share of the variance of each component.
        images: how many the file has.
    """

    numbers: list[int]
    keys: list[str]
    names: list[str]
    labels: list[str | None]
    places: Float[np.ndarray, "points 2"]
    explained: tuple[float, float]
    images: int

    @property
    def classes(self) -> list[str]:
        """The names of the classes that occur, sorted."""
        return sorted({label for label in self.labels if label is not None})

    @property
    def colours(self) -> list[str]:
        """Of each point: the first classes have one of their own."""
        number = {label: place for place, label in enumerate(self.classes)}
        return class_colours(np.array([-1 if label is None else number[label] for label in self.labels]))


def write_map(features: Path, out: Path) -> int:
    """Draw the images of a file of `eqssl embed` in the two principal components of the invariant feature.

    An HTML file shows the image of the point that is hovered or tapped, and needs no other file and no
    network. The images are read again from where they were. Of more than 2,000 images as many are drawn,
    spread evenly over the file.

    Args:
        features: the Parquet file.
        out: the map, .html or .png.

    Returns:
        How many images are drawn.

    Raises:
        ValueError: the map has another ending, the file is not of `eqssl embed`, there are fewer than three
            images or all features are the same, or the images have changed since; says which.
        OSError: a file cannot be read or written.
    """
    if out.suffix.lower() not in ENDINGS:
        raise ValueError(f"{out}: given ending {out.suffix!r}, allowed: {', '.join(ENDINGS)}")
    points, settings = _points(features)
    if out.suffix.lower() == ".png":
        save_figure(_figure(points), out)
    else:
        write_text(out, _page(features, points, _pictures(points, settings)))
    return len(points.numbers)


def _points(path: Path) -> tuple[_Points, SourceSettings]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        about = (file.schema_arrow.metadata or {}).get(METADATA.encode())
        if about is None:
            raise ValueError(f"{path}: metadata {METADATA}: missing; it is no file of `eqssl embed`")
        numbers = sorted(spread(file.metadata.num_rows, MOST))
        rows = list(_rows(file, numbers))
        images = file.metadata.num_rows
    features = np.array([row["invariant"] for row in rows], np.float64)
    if len(features) < 3 or features.shape[1] < 2 or not features.std(axis=0).any():
        raise ValueError(f"{path}: a map needs three images and features that differ")
    components = PCA(2, svd_solver="full")
    places = components.fit_transform(features)
    first, second = components.explained_variance_ratio_.tolist()
    texts = {name: [row[name] for row in rows] for name in ("key", "name", "label")}
    points = _Points(numbers, texts["key"], texts["name"], texts["label"], places, (first, second), images)
    return points, SourceSettings.read(json.loads(about)["settings"], "images")


def _rows(file: pq.ParquetFile, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Some rows of a file."""
    start, wanted = 0, np.array(numbers)
    for batch in file.iter_batches(columns=["key", "name", "label", "invariant"]):
        inside = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
        yield from batch.take(inside).to_pylist()
        start += len(batch)


def _pictures(points: _Points, settings: SourceSettings) -> list[Picture]:
    """A small picture of each image, as the encoder saw it."""
    source, wanted = open_source(settings), frozenset(points.numbers)
    samples: Iterator[Sample] = iter(
        source.outline(wanted) if isinstance(source, Outlined) else source.samples()
    )
    shown = (sample for number, sample in enumerate(samples) if number in wanted)
    pictures = []
    for key, sample in zip(
        points.keys, track(shown, len(points.keys), "drawing the map", "images"), strict=False
    ):
        if sample.key != key:
            raise ValueError(f"image {key!r}: {sample.key!r} is in its place now; the images have changed")
        pictures.append(small(in_colours(formed(sample, settings).pixels)))
    if len(pictures) < len(points.keys):
        raise ValueError(
            f"image {points.keys[len(pictures)]!r}: is not there any more; the images have changed"
        )
    return pictures


def _figure(points: _Points) -> Figure:
    with house_style():
        width, height = np.ptp(points.places, axis=0)
        inches = min(10.0, max(2.0, 8 * height / max(width, 1e-12)))
        figure = Figure(figsize=(8, inches + 0.7))
        axes = figure.add_axes((0.02, 0.02, 0.96, inches / (inches + 0.7) - 0.02))
        axes.set_axis_off()
        x, y = points.places.T
        axes.scatter(x, y, s=12, c=points.colours, linewidths=0, alpha=0.8)
        axes.set_aspect("equal")
        for name, colour in class_legend(points.classes):
            axes.scatter([], [], s=30, c=colour, label=name)
        if points.classes:
            columns = min(6, len(points.classes))
            figure.legend(loc="upper center", ncols=columns, handletextpad=0.1, columnspacing=1)
    return figure


def _page(features: Path, points: _Points, pictures: Sequence[Picture]) -> str:
    """The page; equal input gives equal bytes."""
    lines = [pictures[start : start + _ACROSS] for start in range(0, len(pictures), _ACROSS)]
    low = points.places.min(axis=0)
    scale = (_WIDTH - 40) / max(float(np.ptp(points.places, axis=0).max()), 1e-12)
    x, y = (20 + (points.places - low) * scale).T
    height = 40 + float(np.ptp(points.places[:, 1])) * scale
    dots = [
        {"x": f"{left:.1f}", "y": f"{height - up:.1f}", "colour": colour, "name": name, "label": label}
        for left, up, colour, name, label in zip(
            x, y, points.colours, points.names, points.labels, strict=True
        )
    ]
    return (
        environment()
        .get_template("map.html.j2")
        .render(
            file=features.name,
            images=points.images,
            explained=points.explained,
            dots=dots,
            width=_WIDTH,
            height=height,
            sheet=address_of(sheet(lines)),
            side=len(pictures[0]),
            gap=GAP,
            largest=SIDE,
            across=_ACROSS,
            legend=class_legend(points.classes),
            light=css_variables(dark=False),
            dark=css_variables(dark=True),
        )
    )
