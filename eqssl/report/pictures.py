"""Small pictures of stored images, read from the tars of their shards."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from eqssl.config.regular_files import open_regular
from eqssl.config.sources import SplitName
from eqssl.data.images import stored_image
from eqssl.data.images.pixels import Pixels
from eqssl.data.shards.index import ShardIndex

SIDE = 56
"""Largest side of a small picture in pixels; a smaller image is enlarged to the nearest multiple below it."""
GAP = 3
QUALITY = 90

Picture = UInt8[np.ndarray, "side side 3"]


class StoredImages:
    """The stored images of a data set, one at a time, whether or not they were ever decoded.

    Args:
        folder: the folder of its shards.

    Raises:
        ValueError: index.json is damaged; names the file.
        OSError: it cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.index = ShardIndex.load(folder)

    @cached_property
    def _places(self) -> dict[SplitName, Mapping[str, int]]:
        splits = self.index.splits.items()
        return {split: {key: row for row, key in enumerate(columns.keys)} for split, columns in splits}

    def name(self, split: SplitName, key: str) -> str:
        """What the source calls an image, or its key if it has no such name."""
        names = self.index.splits[split].names
        return (names[self.row(split, key)] if names else "") or key

    def picture(self, split: SplitName, key: str) -> Picture:
        """A small picture of an image.

        Raises:
            ValueError: there is no such image, or its file is damaged; names the tar, the key and the reason.
            OSError: the tar cannot be read.
        """
        return small(in_colours(self.pixels(split, self.row(split, key))))

    def pixels(self, split: SplitName, row: int) -> Pixels:
        """An image as it is stored, by its row in index.json.

        Raises:
            ValueError: the tar or the image file is damaged; names the tar, the key and the reason.
            OSError: the tar cannot be read.
        """
        columns = self.index.splits[split]
        tar, key = self.index.tars[columns.tar[row]], columns.keys[row]
        path = self.index.folder / tar.name
        end = columns.offset[row] + columns.size[row]
        if not 0 <= columns.offset[row] <= end <= tar.bytes:
            raise ValueError(f"{path}: {key}: its place is outside of the tar, index.json is damaged")
        with open_regular(path) as file:
            if reason := tar.wrong_size(os.fstat(file.fileno()).st_size):
                raise ValueError(f"{path}: {reason}")
            file.seek(columns.offset[row])
            content = file.read(columns.size[row])
        try:
            return stored_image(content, self.index.image_shape, self.index.pixels)
        except ValueError as error:
            raise ValueError(f"{path}: {key}: {error}") from None

    def row(self, split: SplitName, key: str) -> int:
        """The row of an image in index.json, by its key."""
        if key not in self._places[split]:
            raise ValueError(f"{self.index.folder}: split {split} has no image {key!r}")
        return self._places[split][key]


def in_colours(image: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """An image as it can be shown: one channel in gray, else the first three as red, green and blue.

    Args:
        image: (h, w, channels), uint8 or uint16; two channels become red and green.
    """
    values = image if image.dtype == np.uint8 else np.rint(image / 257).astype(np.uint8)
    if values.shape[2] == 1:
        return np.repeat(values, 3, axis=2)
    shown = np.zeros((*values.shape[:2], 3), np.uint8)
    shown[:, :, : values.shape[2]] = values[:, :, :3]
    return shown


def small(image: UInt8[np.ndarray, "s s 3"]) -> Picture:
    """The image at a size for a contact sheet."""
    side = len(image)
    if side > SIDE:
        picture = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)
        return np.asarray(picture)
    factor = SIDE // side
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def sheet(rows: Sequence[Sequence[Picture]], after_first: int = GAP) -> Image.Image:
    """Rows of pictures of one size, with transparent gaps between them.

    Args:
        rows: at least one, the first with the most pictures.
        after_first: width of the gap after the first picture of each row.
    """
    side = len(rows[0][0])
    step = side + GAP
    width = max(map(len, rows)) * step - GAP + after_first - GAP
    whole = np.zeros((len(rows) * step - GAP, width, 4), np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            left = j * step + (after_first - GAP if j else 0)
            whole[i * step : i * step + side, left : left + side] = np.dstack(
                [picture, np.full((side, side), 255, np.uint8)]
            )
    return Image.fromarray(whole)


def webp(image: Image.Image, lossless: bool = False) -> bytes:
    """The image as WebP; equal images give equal bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4, lossless=lossless)
    return buffer.getvalue()


def address_of(image: Image.Image, lossless: bool = False) -> str:
    """The image as a `data:` address, to stand inside HTML."""
    return "data:image/webp;base64," + base64.b64encode(webp(image, lossless)).decode()
