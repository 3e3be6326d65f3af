"""features/turned.parquet: some test images, each moved by every element of D4 and by 16 angles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float

from eqssl.config.masks import Mask, views_refusal
from eqssl.config.plain import shown
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.parquet import iterate_features, read_info
from eqssl.machine.records import Record

FILE = "features/turned.parquet"
ELEMENTS, ANGLES = 8, 16
"""Elements of D4, and angles: multiples of 22.5 degrees. Both begin with the identity."""
_TURNS = 4  # D4 has four quarter turns first, and then the reflections


class Move(NamedTuple):
    """How all images of a part of the file were moved.

    Attributes:
        view: `grid` or `angle`.
        element: position in D4; -1 for the view `angle`.
        degrees: of the turn, counter-clockwise; 0 for the view `grid`.
    """

    view: str
    element: int
    degrees: float

    @property
    def identity(self) -> bool:
        """Whether images stay as they are, up to rounding."""
        return self.element <= 0 and self.degrees == 0

    @property
    def turn(self) -> float | None:
        """Degrees of the turn, counter-clockwise; None if the move mirrors the image.

        >>> Move("grid", 3, 0.0).turn, Move("grid", 4, 0.0).turn, Move("angle", -1, 22.5).turn
        (270.0, None, 22.5)
        """
        if self.view == "angle":
            return self.degrees
        return 90.0 * self.element if self.element < _TURNS else None


def moves(mask: Mask) -> tuple[Move, ...]:
    """The moves in their order in the file; without the mask of the disc, no turns by any angle.

    >>> len(moves("disc")), len(moves("none"))
    (24, 8)
    """
    grid = [Move("grid", element, 0.0) for element in range(ELEMENTS)]
    angle = [Move("angle", -1, number * 360 / ANGLES) for number in range(ANGLES)]
    return tuple(grid if views_refusal(mask, ["angle"]) else grid + angle)


def kept(info: FeatureInfo) -> FeatureInfo:
    """The metadata of the file, which has the features of the last stage alone."""
    return replace(info, orders=info.orders[:1], fields=info.fields[:1])


@dataclass(frozen=True)
class TurnedImages:
    """The file, found to be whole and to belong to the other feature files.

    Attributes:
        path: the file.
        info: its metadata.
        keys: of the images; each part of the file has them in this order.
        moves: of the parts, the identity first; none if there are no images.
    """

    path: Path
    info: FeatureInfo
    keys: list[str]
    moves: tuple[Move, ...]

    @classmethod
    def load(cls, evaluation: Record, info: FeatureInfo) -> Self:
        """Read which images there are and how they were moved, but no features.

        Args:
            evaluation: equivariance.json, which lies beside the folder `features`.
            info: the metadata of the other feature files.

        Raises:
            ValueError: the file is damaged, belongs to other files, or is not what `features` writes; names
                file, column and reason.
            OSError: it is missing.
        """
        path = evaluation.file(FILE)
        found, expected = read_info(path), kept(info)
        for name, value in vars(found).items():
            if value != getattr(expected, name):
                raise ValueError(
                    f"{path}: metadata eqssl.{name}: {shown(value)}, but the other files have "
                    f"{shown(getattr(expected, name))}"
                )
        rows = evaluation.values.get("rows")
        stated = rows.get(path.stem) if isinstance(rows, dict) else None
        keys, given = _parts(path)
        if stated != len(keys):
            raise ValueError(
                f"{path}: holds {len(keys)} images, {evaluation.path.name} states {shown(stated)}"
            )
        return cls(path, found, keys, given)

    def parts(self, column: str, images: int | None = None) -> Iterator[Float[np.ndarray, "rows width"]]:
        """The features of the images, as one move after another left them.

        Args:
            column: `invariant` or `regular`.
            images: how many of the images, from the first on; None for all.

        Yields:
            For each move, one row for each image, in the order of `keys`. One part is in memory at a time.
        """
        count, width = len(self.keys), self.info.widths[column]
        wanted = count if images is None else min(images, count)
        part, first = np.empty((wanted, width), np.float32), 0
        for batch in iterate_features(self.path, [column]):
            values = batch[column]
            while len(values):
                taken = values[: count - first]
                inside = taken[: max(0, wanted - first)]
                part[first : first + len(inside)] = inside
                first, values = first + len(taken), values[len(taken) :]
                if first == count:
                    yield part
                    part, first = np.empty((wanted, width), np.float32), 0


def _parts(path: Path) -> tuple[list[str], tuple[Move, ...]]:
    """Keys and moves of the file, which has to hold the same images once for each move."""
    keys: list[str] = []
    found: list[Move] = []
    starts: list[int] = []
    for batch in iterate_features(path, ["split", "view", "element", "angle"]):
        others = np.flatnonzero(batch["split"] != "test")
        if len(others):
            row = int(others[0])
            raise ValueError(
                f"{path}: column split: key {batch['key'][row]!r} is of split {str(batch['split'][row])!r}, "
                "wanted: test"
            )
        columns = zip(batch["view"].tolist(), batch["element"].tolist(), batch["angle"].tolist(), strict=True)
        for row, move in enumerate(map(Move._make, columns)):
            if not found or move != found[-1]:
                found.append(move)
                starts.append(len(keys) + row)
        keys += batch["key"]
    allowed = (moves("disc"), moves("none"), ())
    if tuple(found) not in allowed:
        raise ValueError(
            f"{path}: columns view, element, angle: are not those of {ELEMENTS} elements and {ANGLES} angles"
        )
    sizes = {end - start for start, end in pairwise([*starts, len(keys)])}
    count = len(keys) // max(1, len(found))
    first = keys[:count]
    if len(sizes) > 1 or keys != first * len(found):
        raise ValueError(f"{path}: column key: the images are not the same for each move")
    if len(set(first)) != count:
        raise ValueError(f"{path}: column key: an image is there twice")
    return first, tuple(found)
