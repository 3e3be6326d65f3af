"""Arrays of images, as npz, HDF5 and npy files hold them: their layouts, types and bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqssl.data.sources.base import Pixels

MOST_IMAGES = 10**8
MOST_CHANNELS = 32
MOST_BYTES = 2**28
"""Most bytes of one image, and of all labels of an array."""
_FEW = 4
"""With up to so many entries, an axis holds channels and not rows or columns."""
_KEPT = ("uint8", "uint16", "float32")
_WHOLE = 2**24
"""Up to this number, every whole number is a value of float32."""


@dataclass(frozen=True)
class Layout:
    """How images lie in an array.

    Attributes:
        count: number of images.
        height, width, channels: of each image.
        channels_first: whether the channels come before rows and columns.
        dtype: type of the values.
    """

    count: int
    height: int
    width: int
    channels: int
    channels_first: bool
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Bytes of one image."""
        return self.height * self.width * self.channels * self.dtype.itemsize

    @property
    def notes(self) -> tuple[str, ...]:
        """What is guessed and changed, each a sentence without its subject."""
        notes = []
        if self.channels_first:
            notes.append("is read as images, channels, rows, columns")
        if self.dtype == np.dtype(bool):
            notes.append("holds true and false, which become 255 and 0")
        elif self.dtype.newbyteorder("=").name not in _KEPT:
            notes.append(f"holds {self.dtype.newbyteorder('=').name}, which becomes float32")
        return tuple(notes)

    def image(self, values: np.ndarray) -> Pixels:
        """One image of the array as rows, columns, channels, of one of the types that are kept.

        Raises:
            ValueError: a value does not fit into float32; the caller adds where.
        """
        if self.channels_first:
            values = np.moveaxis(values.reshape(self.channels, self.height, self.width), 0, 2)
        return kept(values.reshape(self.height, self.width, self.channels))


def layout(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Layout:
    """The layout of an array of images: (n, rows, columns) or (n, rows, columns, channels).

    Channels in front of the rows are taken if nothing else makes sense.

    Raises:
        ValueError: with the reason and a hint; the caller adds the file and the array.
    """
    _check_type(dtype)
    height, width, channels, first = _axes(shape)
    found = Layout(shape[0], height, width, channels, first, dtype)
    if min(shape) < 1:
        raise ValueError(f"has the shape {shape}, allowed: at least one entry in each direction")
    if shape[0] > MOST_IMAGES:
        raise ValueError(f"states {shape[0]} images, allowed: at most {MOST_IMAGES}")
    if channels > MOST_CHANNELS:
        raise ValueError(f"has {channels} channels, allowed: 1 to {MOST_CHANNELS}")
    if found.bytes > MOST_BYTES:
        raise ValueError(f"states {found.bytes} bytes for one image, allowed: at most {MOST_BYTES}")
    return found


def _axes(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Height, width, channels, and whether channels come first."""
    if len(shape) == 3:
        _, height, width = shape
        if width <= _FEW < height:
            raise ValueError(
                f"has the shape {shape}, which looks like one image of {width} channels, allowed: "
                "(n, rows, columns) or (n, rows, columns, channels)"
            )
        return height, width, 1, False
    if len(shape) != 4:
        raise ValueError(
            f"has the shape {shape}, allowed: (n, rows, columns) or (n, rows, columns, channels)"
            f"{'; store slices of volumes as images of their own' if len(shape) == 5 else ''}"
        )
    _, one, two, last = shape
    if last <= _FEW:
        return one, two, last, False
    if one <= _FEW:
        return two, last, one, True
    if last > MOST_CHANNELS or one == two == last:
        raise ValueError(
            f"has the shape {shape}, which looks like volumes or like channels in front of rows and columns, "
            f"allowed: (n, rows, columns) or (n, rows, columns, channels) with at most {MOST_CHANNELS} "
            "channels; store slices of volumes as images of their own"
        )
    return one, two, last, False


def _check_type(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ValueError(
            f"holds {dtype}, allowed: numbers (uint8, uint16, float32, and types that fit into float32)"
        )


def kept(values: np.ndarray) -> Pixels:
    """Values of any type of numbers as uint8, uint16 or float32.

    true and false become 255 and 0. Whole numbers of other types become float32, if it holds them exactly;
    float64 is rounded.

    Raises:
        ValueError: a value does not fit.
    """
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    native = values.dtype.newbyteorder("=")
    if native.name in _KEPT:
        return np.ascontiguousarray(values, native)
    if native.kind in "iu" and native.itemsize > 2 and not _exact(values):
        raise ValueError(f"holds {native.name} beyond {_WHOLE}, which float32 does not hold exactly")
    with np.errstate(over="ignore"):
        changed = np.ascontiguousarray(values, np.float32)
    if native.kind == "f" and np.isinf(changed).any() and not np.isinf(values).any():
        raise ValueError(f"holds {native.name} that are too large for float32")
    return changed


def _exact(values: np.ndarray) -> bool:
    return int(values.min()) >= -_WHOLE and int(values.max()) <= _WHOLE


def column(values: np.ndarray, count: int) -> np.ndarray:
    """Labels or groups of an array as one value for each image.

    Raises:
        ValueError: there is not one for each image, with the reason; the caller adds the file and the array.
    """
    if values.ndim > 1 and math.prod(values.shape[1:]) > 1:
        raise ValueError(
            f"has the shape {values.shape}: several labels for each image, allowed: one; "
            "`labelled: false` takes the images without labels"
        )
    if values.ndim == 0 or values.shape[0] != count:
        found = values.shape[0] if values.ndim else 1
        raise ValueError(f"has {found} entries for {count} images")
    return values.reshape(-1)
