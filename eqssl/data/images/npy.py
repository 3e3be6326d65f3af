"""Arrays in NumPy's own format, read without unpickling anything."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as numpy_format

from eqssl.data.images.pixels import MOST_CHANNELS, Pixels, check_size, exact

START = b"\x93NUMPY"
_LONGEST = 10_000  # characters of the header, NumPy's own bound


def npy_pixels(content: bytes) -> Pixels:
    """An array of rows x columns, or rows x columns x channels.

    uint8, uint16 and float32 are taken as they are, True and False as 255 and 0. Other numbers become
    float32 if it holds all of them exactly.

    Raises:
        ValueError: it is of another shape or type, truncated, too large, or holds Python objects.
    """
    file = io.BytesIO(content)
    shape, fortran, kind = _header(file)
    if kind.hasobject or kind.names or kind.subdtype or kind.kind not in "biuf":
        raise ValueError(f"the npy file holds {kind} values, allowed: uint8, uint16 and float32")
    height, width, channels = _checked(shape)
    check_size(width, height, channels, kind.itemsize)
    size, start = height * width * channels * kind.itemsize, file.tell()
    if len(content) - start != size:
        raise ValueError(f"the npy file has {len(content) - start} bytes of pixels, its header states {size}")
    values: Shaped[np.ndarray, "*shape"] = np.frombuffer(content, kind, offset=start)
    values = values.reshape(shape[::-1]).T if fortran else values.reshape(shape)
    return exact(np.array(values.reshape(height, width, channels), order="C"))


def npy_bytes(pixels: Pixels) -> bytes:
    """A file of version 1.0, in C order; equal images give equal bytes."""
    file = io.BytesIO()
    little = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    numpy_format.write_array(file, little, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = numpy_format.read_magic(file)
    readers = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"is an npy file of version {version[0]}.{version[1]}, allowed: 1.0 and 2.0")
    return readers[version](file, max_header_size=_LONGEST)


def _checked(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Rows, columns and channels. Channels that come first are not guessed: 3 x 8 x 8 may be either."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    words = " x ".join(map(str, shape)) or "one number"
    if len(shape) != 3:
        hint = "; a stack needs one file an image" if len(shape) > 3 else ""
        raise ValueError(f"the npy file is {words}, allowed: rows x columns, or x channels at the end{hint}")
    if shape[2] > MOST_CHANNELS or shape[0] < min(shape[1:]):
        hint = "; np.moveaxis(array, 0, -1) puts channels last" if shape[0] <= MOST_CHANNELS else ""
        raise ValueError(f"the npy file is {words}, allowed: rows x columns x 1 to 32 channels{hint}")
    return shape[0], shape[1], shape[2]
