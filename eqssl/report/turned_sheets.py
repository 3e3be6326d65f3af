"""Neighbours of turned images as pictures: do they stay the same when the image is turned?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from eqssl.evaluation.knn import unit
from eqssl.evaluation.turned import Move
from eqssl.report.cells import Cell
from eqssl.report.pictures import Picture, StoredImages, address_of, in_colours, sheet, small
from eqssl.report.turned_features import Turned

QUERIES, NEIGHBOURS = 3, 5
DEGREES = (0.0, 45.0, 90.0, 202.5)
"""The turns that are shown; without turns by any angle, the four quarter turns."""
_AFTER_QUERY = 14


@dataclass(frozen=True)
class TurnedSheet:
    """The neighbours of some turned images in the features of one encoder.

    Attributes:
        title: group and pretext.
        address: the picture, as a `data:` address.
        width, height: of the picture in pixels.
        kept: share of the neighbours of an image as stored that are also those of the turned image, over all
            images and turns; None if there are no turns.
        words: a line for each row of the picture.
        images: among how many images neighbours were looked for.
    """

    title: str
    address: str
    width: int
    height: int
    kept: float | None
    words: tuple[str, ...]
    images: int


def turned_sheet(cell: Cell, found: Turned, stored: StoredImages) -> TurnedSheet | None:
    """The sheet of one cell; None if there are too few images or no turns."""
    turns = found.turns()
    if len(turns) < 2 or len(found.keys) <= NEIGHBOURS:
        return None
    near = {place: nearest(found.parts[place], found.parts[turns[0]]) for place in turns}
    shown = [place for place in turns if found.moves[place].turn in DEGREES] if len(turns) > 4 else turns
    queries = sorted(range(len(found.keys)), key=lambda row: _hash(found.keys[row]))[:QUERIES]
    rows, words = [], []
    for query in queries:
        for place in shown:
            key, neighbours = found.keys[query], [found.keys[row] for row in near[place][query]]
            pictures = [_turned(stored, key, found.moves[place])]
            rows.append([*pictures, *(stored.picture("test", other) for other in neighbours)])
            names = ", ".join(stored.name("test", other) for other in neighbours)
            words.append(f"{stored.name('test', key)} turned by {found.moves[place].turn:g}°: {names}")
    picture = sheet(rows, _AFTER_QUERY)
    title = f"{cell.group}, {cell.pretext}"
    kept = kept_share(near[turns[0]], [near[place] for place in turns[1:]])
    return TurnedSheet(title, address_of(picture), *picture.size, kept, tuple(words), len(found.keys))


def nearest(
    queries: Float[np.ndarray, "images width"], among: Float[np.ndarray, "images width"]
) -> Int[np.ndarray, "images near"]:
    """For each query, the other images of the highest cosine similarity, the highest first.

    Args:
        queries: features of the images, turned.
        among: features of the same images as stored; an image is no neighbour of itself.
    """
    similarity = unit(queries) @ unit(among).T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]


def kept_share(first: Int[np.ndarray, "images near"], others: list[Int[np.ndarray, "images near"]]) -> float:
    """The mean share of the first neighbours that are among the others, over images and turns."""
    return float(np.mean([(first[:, :, None] == other[:, None, :]).any(axis=2).mean() for other in others]))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _turned(stored: StoredImages, key: str, move: Move) -> Picture:
    """A small picture of a turned test image, counter-clockwise as in the features."""
    image = Image.fromarray(in_colours(stored.pixels("test", stored.row("test", key))))
    return small(np.asarray(image.rotate(move.turn or 0.0, Image.Resampling.BILINEAR)))
