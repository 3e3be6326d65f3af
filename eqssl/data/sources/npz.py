"""A NumPy archive of images, as MedMNIST has it, read one image at a time."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from eqssl.config.regular_files import open_regular
from eqssl.config.sources import NpzSettings, SplitName
from eqssl.data.sources.arrays.layouts import MOST_BYTES, Layout, column, layout
from eqssl.data.sources.arrays.names import Part, Wanted, noted_merged, parts, present, shown_names
from eqssl.data.sources.base import EVERY, Pixels, Sample
from eqssl.data.sources.files.guarded import Guarded
from eqssl.data.sources.labels import class_indices, plain_values

_END = ".npy"
_SLICE = 2**20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class NpzFile:
    """Images in the file `settings.path`, which `numpy.savez` wrote, with or without compression.

    The arrays are `train_images` and `train_labels`, `val_images` and so on; or `x_train` and `y_train`; or
    `images` and `labels`, or `x` and `y`, which have no splits. Other names are given in the settings. Images
    are (n, rows, columns) or (n, rows, columns, channels).

    Raises:
        ValueError: the file is damaged, an array is missing or of another form; names the file and array.
        OSError: the file cannot be read.
    """

    licence = "not stated in the file"

    def __init__(self, settings: NpzSettings) -> None:
        self._path = Path(settings.path)
        wanted = Wanted(settings.images, settings.labels if settings.labelled else None, settings.groups)
        with _archive(self._path) as archive:
            names = {name.removesuffix(_END) for name in archive.namelist() if name.endswith(_END)}
            self._check_wanted(names, wanted)
            self._parts = [part for part in parts(names, wanted) if part.images]
            if not self._parts:
                raise ValueError(
                    f"{self._path}: has no array of images (has {shown_names(names)}); name it with `images`"
                )
            self._layouts = {part: self._layout(archive, part) for part in self._parts}
            raw = [
                self._column(archive, part, part.labels if settings.labelled else None)
                for part in self._parts
            ]
            self._groups = {part: self._column(archive, part, part.groups) for part in self._parts}
        self._read_labels(raw)
        self.origin = f"NumPy archive {self._path.name}"
        self.notes = tuple(self._noted(names, settings.labelled))

    def count(self) -> int:
        """Number of images."""
        return sum(found.count for found in self._layouts.values())

    def samples(self) -> Iterator[Sample]:
        """The images of one split after the other, in the order of the arrays.

        Raises:
            ValueError: the file is damaged, or an image does not fit; names the file, array and image.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        numbers: Counter[SplitName | None] = Counter()
        first = 0
        with _archive(self._path) as archive:
            for part, labels in zip(self._parts, self._labels, strict=True):
                groups = self._groups[part]
                for row, values in enumerate(self._images(archive, part, first, wanted)):
                    index = numbers[part.split]
                    numbers[part.split] += 1
                    yield Sample(
                        f"{part.split}-{index:08d}" if part.split else f"{index:08d}",
                        values,
                        labels[row],
                        part.split,
                        index,
                        group=None if groups is None else str(groups[row]),
                        name=f"{part.images}[{row}]",
                    )
                first += self._layouts[part].count

    def _images(
        self, archive: zipfile.ZipFile, part: Part, first: int, wanted: Container[int]
    ) -> Iterator[Pixels | bytes]:
        """The images of an array, of which the first one has the number `first`."""
        found = self._layouts[part]
        with self._naming(part.images), archive.open(part.images + _END) as file:
            _header(file)
            for row in range(found.count):
                if first + row not in wanted:
                    file.seek(found.bytes, os.SEEK_CUR)
                    yield b""
                    continue
                content = _exactly(file, found.bytes)
                try:
                    yield found.image(np.frombuffer(content, found.dtype))
                except ValueError as error:
                    raise ValueError(f"image {row}: {error}") from None

    def _layout(self, archive: zipfile.ZipFile, part: Part) -> Layout:
        with self._naming(part.images), archive.open(part.images + _END) as file:
            shape, dtype = _header(file)
            found = layout(shape, dtype)
            stated, there = found.count * found.bytes, archive.getinfo(part.images + _END).file_size
            if there - file.tell() != stated:
                raise ValueError(
                    f"holds {there - file.tell()} bytes of data, its header states {stated}, for the "
                    f"shape {shape}"
                )
            return found

    def _column(self, archive: zipfile.ZipFile, part: Part, name: str | None) -> np.ndarray | None:
        """Labels or groups: one value for each image."""
        if name is None:
            return None
        with self._naming(name), archive.open(name + _END) as file:
            shape, dtype = _header(file)
            size = math.prod(shape) * dtype.itemsize
            if size > MOST_BYTES:
                raise ValueError(f"states {size} bytes, allowed: at most {MOST_BYTES}")
            if dtype.kind not in "buifUS":
                raise ValueError(f"holds {dtype}, allowed: numbers and texts")
            values = np.frombuffer(_exactly(file, size), dtype).reshape(shape)
            return column(values, self._layouts[part].count)

    def _read_labels(self, columns: list[np.ndarray | None]) -> None:
        with self._naming("labels"):
            raw = [None if values is None else plain_values(values) for values in columns]
            self.classes, found = class_indices(raw)
        self._labels = [
            labels if labels is not None else [None] * self._layouts[part].count
            for part, labels in zip(self._parts, found, strict=True)
        ]

    def _check_wanted(self, names: set[str], wanted: Wanted) -> None:
        for pattern in (wanted.images, wanted.labels, wanted.groups):
            if pattern is not None and not present(pattern, names):
                raise ValueError(f"{self._path}: has no array {pattern!r} (has {shown_names(names)})")

    def _noted(self, names: set[str], labelled: bool) -> Iterator[str]:
        for part, found in self._layouts.items():
            yield from (f"{part.images} {note}." for note in found.notes)
            if labelled and part.labels is None:
                yield f"{part.images} has no labels."
        yield from noted_merged(self._parts)
        used = {name for part in self._parts for name in (part.images, part.labels, part.groups)}
        if rest := names - used:
            yield f"Arrays that were left out: {shown_names(rest)}."

    @contextmanager
    def _naming(self, name: str | None) -> Iterator[None]:
        """Errors inside are about this array."""
        try:
            yield
        except (*_DAMAGED, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{self._path}: {name}: {reason}") from None


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with open_regular(path) as file:
        try:
            archive = zipfile.ZipFile(Guarded(file))
        except (*_DAMAGED, ValueError, OSError) as error:
            raise ValueError(f"{path}: cannot be read as a NumPy archive: {error}") from None
        with archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise ValueError(f"{path}: has two arrays of one name")
            yield archive


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array; the file is then at its values."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"has the format version {version}, allowed: 1.0 and 2.0")
    try:
        shape, fortran, dtype = _HEADERS[version](file)
    except Exception as error:  # it is evaluated as Python's literals: errors of many types
        raise ValueError(f"has a damaged header: {str(error)[:200] or type(error).__name__}") from None
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not unpickled, allowed: numbers")
    if fortran and len(shape) > 1:
        raise ValueError("is in Fortran order, allowed: C order, as numpy.ascontiguousarray makes it")
    return tuple(map(int, shape)), dtype


def _exactly(file: IO[bytes], size: int) -> bytes:
    """So many bytes, in slices, so that memory is taken for what is there and not for what is stated."""
    content = bytearray()
    while len(content) < size:
        part = file.read(min(_SLICE, size - len(content)))
        if not part:
            raise ValueError("is cut off")
        content += part
    return bytes(content)
