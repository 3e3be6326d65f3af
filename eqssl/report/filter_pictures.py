"""Filters of the first layer as pictures: a row for each field, a column for each element of the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open

from eqssl.machine.records import Record
from eqssl.report.cell_files import encoder_of
from eqssl.report.cells import Cell
from eqssl.report.pictures import address_of
from eqssl.report.tables import Row

FIELDS, ELEMENTS = 8, 8
"""Most rows and columns of a picture."""
SIDE, GAP = 26, 3
"""About how many pixels a filter has on a side, and the gap between two."""


PARTS = ("weight", "basis", "index")


@dataclass(frozen=True)
class FilterPicture:
    """The filters of one encoder.

    Attributes:
        title: group and pretext.
        address: the picture, as a `data:` address.
        width, height: of the picture in pixels.
        words: how many filters there are and how many are shown.
    """

    title: str
    address: str
    width: int
    height: int
    words: str


def filter_pictures(rows: Sequence[Row]) -> list[FilterPicture]:
    """A picture for the first seed of each row whose weights lie beside its metrics.

    Raises:
        ValueError: a file is damaged, or belongs to other metrics; names the file.
        OSError: a file cannot be read.
    """
    found = []
    for cell in (row.cells[0] for row in rows):
        record = encoder_of(cell)
        filters = None if record is None else first_filters(record)
        if filters is not None:
            found.append(_picture(cell, filters))
    return found


def first_filters(record: Record) -> Float[np.ndarray, "fields order channels side side"] | None:
    """The filters of the first layer, one for each field, element of the group and channel of the image.

    The layer keeps coefficients c in a basis b and, for each element of the group, the places to which the
    numbers of a filter go (`eqssl.nn.convolution.GroupConv2d`):

        w[f, g, i, x] = sum over r of c[f, r, i] b[r, place[g, x]]

    Args:
        record: encoder.json.

    Returns:
        None if the encoder has no such layer.

    Raises:
        ValueError: the weights are damaged; names the file.
    """
    path = record.file("encoder.safetensors")
    try:
        with safe_open(path, "np") as file:
            layers = [name.removesuffix(".basis") for name in file.keys() if name.endswith(".basis")]  # noqa: SIM118
            tensors = [[file.get_tensor(f"{name}.{part}") for part in PARTS] for name in sorted(layers)]
    except SafetensorError as error:
        raise ValueError(f"{path}: not whole: {str(error).splitlines()[0]}") from None
    channels = record.values["image_shape"][0]
    found = [expand(*parts) for parts in tensors if parts[0].shape[2] == channels]
    return next((filters for filters in found if filters is not None), None)


def expand(
    weight: Float[np.ndarray, "fields basis channels"],
    basis: Float[np.ndarray, "basis places"],
    places: Int[np.ndarray, "order places"],
) -> Float[np.ndarray, "fields order channels side side"] | None:
    """The filters of coefficients in a basis; None if they are not those of a layer over images."""
    side = isqrt(places.shape[1])
    if side * side != places.shape[1] or basis.shape[1] <= int(places.max(initial=0)):
        return None
    whole = np.einsum("fri,rx->fix", weight, basis)[:, :, places]
    return np.moveaxis(whole, 2, 1).reshape(len(weight), len(places), weight.shape[2], side, side)


def _picture(cell: Cell, filters: Float[np.ndarray, "fields order channels side side"]) -> FilterPicture:
    fields, order = filters.shape[:2]
    shown = filters[:FIELDS, :ELEMENTS]
    picture = Image.fromarray(_sheet(shown))
    words = f"{fields} fields, {order} filters each"
    if shown.shape[:2] != (fields, order):
        words += f"; {len(shown)} fields with {shown.shape[1]} filters are shown"
    return FilterPicture(
        f"{cell.group}, {cell.pretext}", address_of(picture, lossless=True), *picture.size, words
    )


def _sheet(filters: Float[np.ndarray, "fields order channels side side"]) -> UInt8[np.ndarray, "h w 4"]:
    """Filters in gray, or in colours for three channels; 0 is middle gray, each field has its scale."""
    fields, order, channels, side, _ = filters.shape
    factor = max(1, SIDE // side)
    step = side * factor + GAP
    sheet = np.zeros((fields * step - GAP, order * step - GAP, 4), np.uint8)
    colours = filters if channels == 3 else np.repeat(filters[:, :, :1], 3, axis=2)
    for f, field in enumerate(colours):
        largest = float(np.abs(field).max()) or 1.0
        for g, one in enumerate(field):
            pixels = np.rint(127.5 + 127.5 * np.moveaxis(one, 0, 2) / largest).astype(np.uint8)
            tile = np.dstack([pixels, np.full((side, side), 255, np.uint8)])
            y, x = f * step, g * step
            sheet[y : y + side * factor, x : x + side * factor] = tile.repeat(factor, 0).repeat(factor, 1)
    return sheet
