"""The report's pictures of a few encoders: map of features, neighbours of turned images, filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eqssl.report.chosen import chosen
from eqssl.report.differences import primary_metric
from eqssl.report.feature_map import FeatureMap, class_legend, feature_map
from eqssl.report.filter_pictures import FilterPicture, filter_pictures
from eqssl.report.neighbour_sheets import Sheets, data_of, neighbour_sheets
from eqssl.report.pictures import StoredImages
from eqssl.report.tables import Row
from eqssl.report.turned_features import turned_features
from eqssl.report.turned_sheets import TurnedSheet, turned_sheet


@dataclass
class Gallery:
    """The pictures of one data set.

    Attributes:
        dataset: its name.
        why: which encoders are shown.
        shown, of: how many of how many.
        maps: of their features.
        classes: name and colour of the classes in the maps.
        turned: neighbours of turned test images.
        sheets: nearest training images of test images; None without the shards.
        filters: of the first layer.
    """

    dataset: str
    why: str
    shown: int
    of: int
    maps: list[FeatureMap] = field(default_factory=list)
    classes: list[tuple[str, str]] = field(default_factory=list)
    turned: list[TurnedSheet] = field(default_factory=list)
    sheets: Sheets | None = None
    filters: list[FilterPicture] = field(default_factory=list)


def galleries(rows: Sequence[Row], twins: Mapping[str, str], shards: Sequence[Path]) -> list[Gallery]:
    """The pictures of each data set.

    Features and weights are read where they lie beside the metrics, of a few cells alone (`chosen`).

    Args:
        rows: the rows of the report.
        twins: pretext -> its plain twin.
        shards: folders of shards; each is found by the digest that encoders state.

    Raises:
        ValueError: a file is damaged or belongs to another cell; names file and reason.
        OSError: a file cannot be read.
    """
    images = {stored.index.digest: stored for stored in map(StoredImages, shards)}
    return [
        _gallery(dataset, [row for row in rows if row.dataset == dataset], twins, images)
        for dataset in dict.fromkeys(row.dataset for row in rows)
    ]


def _gallery(
    dataset: str, rows: Sequence[Row], twins: Mapping[str, str], images: Mapping[str, StoredImages]
) -> Gallery:
    shown, why = chosen(rows, twins, primary_metric([cell for row in rows for cell in row.cells]))
    gallery = Gallery(dataset, why, len(shown), len(rows), filters=filter_pictures(shown))
    gallery.sheets = next(iter(neighbour_sheets(shown, images)), None)
    for row in shown:
        cell = row.cells[0]
        features = turned_features(cell)
        if features is None:
            continue
        gallery.classes = gallery.classes or class_legend(features.classes)
        drawn = feature_map(cell, features)
        if drawn is not None:
            gallery.maps.append(drawn)
        stored = images.get(data_of(cell))
        sheet = None if stored is None else turned_sheet(cell, features, stored)
        if sheet is not None:
            gallery.turned.append(sheet)
    return gallery
