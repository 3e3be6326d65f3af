"""Read arrays of an HDF5 file in slices, and nothing else that the file may point to."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from eqssl.config.regular_files import check_regular
from eqssl.data.sources.arrays.hdf5_chunks import check_chunks
from eqssl.data.sources.arrays.layouts import MOST_BYTES, Layout, column, layout
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.base import EVERY, Pixels
from eqssl.machine.packages import import_failure

_AT_ONCE = 2**24
"""Bytes of images that are read at once, if chunks do not ask for more."""
_MOST_NAMES = 10_000
_DEEPEST = 8


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open HDF5 file. Whatever its reader raises inside the block becomes one line with the file's name.

    Raises:
        ValueError: h5py is not installed, or the file is damaged.
        OSError: it is no regular file, or cannot be read.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path}: {import_failure(error)}") from None
    check_regular(path, path.stat().st_mode)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except ValueError as error:
        raise ValueError(_line(path, error)) from None
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: cannot be read as HDF5: {_line(None, error)}") from None


def _line(path: Path | None, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason if path is None or reason.startswith(str(path)) else f"{path}: {reason}"


def names(file: Any) -> list[str]:
    """Paths of all arrays of a file, such as `x` or `train/images`. Links are not followed.

    Raises:
        ValueError: there are too many.
    """
    found: list[str] = []
    waiting = [("", file, 0)]
    while waiting:
        prefix, group, depth = waiting.pop()
        for name in group:
            if not _is_hard(group, name):
                continue
            kind = group.get(name, getclass=True)
            if kind.__name__ == "Dataset":
                found.append(prefix + name)
            elif kind.__name__ == "Group" and depth < _DEEPEST:
                waiting.append((f"{prefix}{name}/", group[name], depth + 1))
            if len(found) + len(waiting) > _MOST_NAMES:
                raise ValueError(f"has more than {_MOST_NAMES} arrays and groups")
    return sorted(found)


def links(file: Any) -> list[str]:
    """Names at the top of a file that are links to other places, which are not followed."""
    return sorted(name for name in file if not _is_hard(file, name))


def _is_hard(group: Any, name: str) -> bool:
    return bool(type(group.get(name, getlink=True)).__name__ == "HardLink")


def array(file: Any, name: str) -> Any:
    """An array whose values are in this file.

    Raises:
        ValueError: it is no such array; the caller adds the file.
    """
    place = file
    for part in name.strip("/").split("/"):
        if type(place).__name__ not in ("File", "Group") or part not in place.keys():  # noqa: SIM118 - not a dict
            raise ValueError(f"has no array {name!r} (has {shown_names(names(file))})")
        if not _is_hard(place, part):
            raise ValueError(f"{name}: is a link, allowed: an array that is in the file")
        place = place[part]
    if type(place).__name__ != "Dataset":
        raise ValueError(f"{name}: is a group, allowed: an array (has {shown_names(names(file))})")
    if place.is_virtual or place.external:
        raise ValueError(f"{name}: has its values in other files, allowed: an array that is in the file")
    if place.shape is None:
        raise ValueError(f"{name}: is empty")
    return place


def image_layout(file: Any, name: str) -> Layout:
    """The layout of an array of images.

    Raises:
        ValueError: it is no array of images; names the array.
    """
    found = array(file, name)
    try:
        return layout(tuple(map(int, found.shape)), found.dtype)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check(found: Any, name: str) -> None:
    try:
        check_chunks(found)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def images(file: Any, name: str, first: int = 0, wanted: Container[int] = EVERY) -> Iterator[Pixels | bytes]:
    """The images of an array, a slice of them at a time.

    Args:
        file: that holds it.
        name: of the array.
        first: number of its first image.
        wanted: numbers of the images that are read; b"" stands for the others.

    Raises:
        ValueError: an image does not fit; names the array and the number of the image.
    """
    found, form = array(file, name), image_layout(file, name)
    _check(found, name)
    rows = max(1, _AT_ONCE // form.bytes)
    if found.chunks is not None and found.chunks[0] * form.bytes <= MOST_BYTES:
        # whole chunks, since each is expanded as often as it is touched
        rows = -(-rows // found.chunks[0]) * found.chunks[0]
    for start in range(0, form.count, rows):
        numbers = range(start, min(start + rows, form.count))
        if not any(first + row in wanted for row in numbers):
            yield from (b"" for _ in numbers)
            continue
        for row, values in zip(numbers, found[start : start + rows], strict=True):
            try:
                yield form.image(values) if first + row in wanted else b""
            except ValueError as error:
                raise ValueError(f"{name}: image {row}: {error}") from None


def values(file: Any, name: str, count: int) -> np.ndarray:
    """Labels or groups: an array of one value for each image.

    Raises:
        ValueError: it is another array; names it.
    """
    import h5py

    found = array(file, name)
    _check(found, name)
    text = h5py.check_string_dtype(found.dtype)
    try:
        if text is None and found.dtype.kind not in "buif":
            raise ValueError(f"holds {found.dtype}, allowed: numbers and texts")
        if math.prod(map(int, found.shape)) * found.dtype.itemsize > MOST_BYTES:
            raise ValueError(f"is larger than {MOST_BYTES} bytes, which is the most that is read")
        return column(np.asarray(found.asstr()[()] if text is not None else found[()]), count)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
