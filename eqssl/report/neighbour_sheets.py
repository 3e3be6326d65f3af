"""Contact sheets: test images, and beside each the training images that an encoder finds most similar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eqssl.config.plain import shown
from eqssl.machine.cell_numbers import refuse
from eqssl.machine.tracing.tables import section
from eqssl.report.cells import Cell
from eqssl.report.pictures import StoredImages, address_of, sheet
from eqssl.report.tables import Row

_AFTER_QUERY = 14


@dataclass(frozen=True)
class Sheet:
    """The nearest images of one encoder.

    Attributes:
        title: group and pretext.
        address: the picture, as a `data:` address.
        width, height: of the picture in pixels.
        words: for each test image, its name and those of its neighbours with their similarities.
    """

    title: str
    address: str
    width: int
    height: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Sheets:
    """The sheets of one data set, and how many channels its images have."""

    dataset: str
    sheets: tuple[Sheet, ...]
    channels: int


def neighbour_sheets(rows: Sequence[Row], images: Mapping[str, StoredImages]) -> list[Sheets]:
    """A sheet for the first seed of each row whose images are there.

    Args:
        rows: the rows of the report that are shown in pictures.
        images: the stored images by the digest of their index, which encoders state.

    Raises:
        ValueError: an index.json, a tar or an entry of metrics.json is damaged; names file and reason.
        OSError: a file cannot be read.
    """
    found = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        cells = [row.cells[0] for row in rows if row.dataset == dataset]
        pairs = [(cell, images.get(data_of(cell))) for cell in cells]
        able = [(cell, stored) for cell, stored in pairs if stored and cell.details.get("neighbours")]
        sheets = tuple(_sheet(cell, stored) for cell, stored in able)
        if sheets:
            channels = able[0][1].index.image_shape[0]
            found.append(Sheets(dataset, sheets, channels))
    return found


def data_of(cell: Cell) -> str:
    """The digest of the index of the shards that the encoder was made of."""
    return str(section(cell.details, "encoder").get("data"))


def _sheet(cell: Cell, stored: StoredImages) -> Sheet:
    rows, words = [], []
    for query, near in _entries(cell):
        pictures = [stored.picture("test", query), *(stored.picture("train", key) for key, _ in near)]
        rows.append(pictures)
        named = ", ".join(f"{stored.name('train', key)} ({value:.3f})" for key, value in near)
        words.append(f"{stored.name('test', query)}: {named}")
    picture = sheet(rows, _AFTER_QUERY)
    return Sheet(f"{cell.group}, {cell.pretext}", address_of(picture), *picture.size, tuple(words))


def _entries(cell: Cell) -> list[tuple[str, list[tuple[str, float]]]]:
    """The test images and their neighbours, each found to be of the right kind."""
    listed, where = cell.details["neighbours"], "details.neighbours"
    found = []
    for position, entry in enumerate(listed if isinstance(listed, list) else [listed]):
        pairs = entry.get("neighbours") if isinstance(entry, Mapping) else None
        if not isinstance(pairs, list) or not isinstance(entry["key"], str) or not all(map(_is_pair, pairs)):
            expected = "a key, and neighbours as pairs of a key and a number"
            refuse(cell.path, f"{where}[{position}]", f"given {shown(entry)}, expected {expected}")
        found.append((entry["key"], [(key, float(value)) for key, value in pairs]))
    return found


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int | float)
        and abs(pair[1]) < 2
    )
