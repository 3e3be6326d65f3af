"""A folder of Parquet files with an image column, the layout of data sets on the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eqssl.config.plain import shown
from eqssl.config.regular_files import check_regular, open_regular
from eqssl.config.sources import ParquetSettings, SplitName
from eqssl.data.sources.base import Sample
from eqssl.data.sources.parquet_pages import largest_page

_SPLITS: tuple[SplitName, ...] = ("train", "test")
_ROWS = 64  # read at a time: images can be large
_LABELS = 65536
MOST_ROWS = 10**8
"""Most rows of a file."""
MOST_PAGE = 10**8
"""Most bytes of a page after it is expanded. Writers make pages of about one megabyte, or of one image."""
_MOST_BATCH = 2**28  # bytes: a dictionary can repeat one large value in every row
_LONGEST_NAME = 1000


class ParquetFolder:
    """Files `train*.parquet` and `test*.parquet` in the folder `settings.path`, read a few rows at a time.

    `settings.image_column` holds encoded images: binary, or struct<bytes, path> with bytes in every row.
    `settings.label_column` holds integers from 0. Class names come from the Hugging Face metadata of the
    schema; without it, classes are named by their numbers. A key, such as `train-00000017`, is the split and
    the row, counted across the files in the order of their names.

    Raises:
        ValueError: a file or a column is missing, or a column is of another type.
    """

    licence = "not stated in the files"
    notes = ()

    def __init__(self, settings: ParquetSettings) -> None:
        self._image, self._label = settings.image_column or "image", settings.label_column or "label"
        self._files = {split: self._find(Path(settings.path), split) for split in _SPLITS}
        self._rows = {split: sum(map(self._checked, files)) for split, files in self._files.items()}
        names = [file.name for files in self._files.values() for file in files]
        self.origin = f"Parquet files {', '.join(names)}"
        self.classes = self._named_classes() or self._numbered_classes()

    def count(self) -> int:
        """Number of rows."""
        return sum(self._rows.values())

    def samples(self) -> Iterator[Sample]:
        """The images of both splits, in the order of file names and rows.

        Raises:
            ValueError: a row has no label, no image or a damaged one; names the file, row, key and reason.
        """
        for split in _SPLITS:
            yield from self._samples(split)

    def _samples(self, split: SplitName) -> Iterator[Sample]:
        index = 0
        for file in self._files[split]:
            for row, (content, label) in enumerate(self._pairs(file)):
                key = f"{split}-{index:08d}"
                where = f"{file}: row {row} ({key})"
                if label is None:
                    raise ValueError(f"{where}: has no label")
                if not content:
                    raise ValueError(f"{where}: has no image bytes")
                yield Sample(key, content, label, split, index, name=where)
                index += 1

    @staticmethod
    def _find(folder: Path, split: SplitName) -> list[Path]:
        files = sorted(folder.glob(f"{split}*.parquet"))
        if not files:
            raise ValueError(f"{folder}: has no {split}*.parquet")
        for file in files:
            if not file.name.isprintable():
                raise ValueError(f"{folder}: given the file name {file.name!r}, allowed: printable letters")
            check_regular(file, file.stat().st_mode)
        return files

    def _checked(self, file: Path) -> int:
        """Number of rows of a file, after checking that it has both columns, of the right types."""
        with _reading(file), pq.ParquetFile(file) as parquet:
            schema, rows = parquet.schema_arrow, int(parquet.metadata.num_rows)
        if not 0 <= rows <= MOST_ROWS:
            raise ValueError(f"{file}: states {rows} rows, allowed: at most {MOST_ROWS}")
        for column in (self._image, self._label):
            if (found := schema.names.count(column)) != 1:
                many = f"{found} columns" if found else "no column"
                names = shown(", ".join(schema.names)).strip("'\"")
                raise ValueError(f"{file}: has {many} {column!r}; its columns: {names}")
        kind = schema.field(self._image).type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise ValueError(
                f"{file}: column {self._image!r} is {kind}, allowed: binary or struct<bytes, path>"
            )
        kind = schema.field(self._label).type
        if not pa.types.is_integer(kind):
            raise ValueError(f"{file}: column {self._label!r} is {kind}, allowed: integers")
        return rows

    def _pairs(self, file: Path) -> Iterator[tuple[bytes | None, int | None]]:
        for batch in self._batches(file, [self._image, self._label], _ROWS):
            images = batch.column(self._image)
            if pa.types.is_struct(images.type):
                images = pc.struct_field(images, "bytes")  # null where the struct is null, unlike .field
            yield from zip(images.to_pylist(), batch.column(self._label).to_pylist(), strict=True)

    @staticmethod
    def _batches(file: Path, columns: list[str], rows: int) -> Iterator[Any]:
        """Up to `rows` rows at a time; fewer if a page is so large that they might not fit into memory."""
        with _reading(file), open_regular(file) as pages, pq.ParquetFile(file) as parquet:
            for group in range(parquet.num_row_groups):
                largest = 1  # of the pages that may hold one value that a dictionary repeats
                for chunk in _chunks(parquet.metadata.row_group(group), columns):
                    size = _checked_page(file, pages, chunk, group)
                    largest = max(largest, size if chunk.physical_type == "BYTE_ARRAY" else 1)
                fit = max(1, min(rows, _MOST_BATCH // largest))
                yield from parquet.iter_batches(fit, row_groups=[group], columns=columns)

    def _named_classes(self) -> tuple[str, ...]:
        found = {file: self._names(file) for files in self._files.values() for file in files}
        first, *others = found.items()
        for file, names in others:
            if names != first[1]:
                raise ValueError(f"{file}: names other classes than {first[0]}")
        return first[1]

    def _names(self, file: Path) -> tuple[str, ...]:
        with _reading(file), pq.ParquetFile(file) as parquet:
            metadata = (parquet.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        try:
            names = json.loads(metadata)["info"]["features"][self._label]["names"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ()
        if not isinstance(names, list):
            return ()
        for name in names:
            if not isinstance(name, str | int) or len(str(name)) > _LONGEST_NAME or not _is_text(str(name)):
                raise ValueError(f"{file}: names a class {shown(name)}, allowed: printable letters")
        return tuple(map(str, names))

    def _numbered_classes(self) -> tuple[str, ...]:
        largest = -1
        for files in self._files.values():
            for file in files:
                for batch in self._batches(file, [self._label], _LABELS):
                    largest = max(largest, pc.max(batch.column(0)).as_py() or 0)
        # with more classes than images, some class is empty: the label is not a class number
        if largest >= sum(self._rows.values()):
            raise ValueError(
                f"{self._files['train'][0].parent}: label {largest} is larger than the number of rows"
            )
        return tuple(map(str, range(largest + 1)))


def _chunks(group: Any, columns: list[str]) -> list[Any]:
    """Arrow's metadata of some columns, and of everything inside them, in one group of rows."""
    chunks = [group.column(number) for number in range(group.num_columns)]
    places = tuple(f"{column}." for column in columns)
    return [chunk for chunk in chunks if f"{chunk.path_in_schema}.".startswith(places)]


def _checked_page(file: Path, pages: BinaryIO, chunk: Any, group: int) -> int:
    """Bytes of a column's largest page after it is expanded; an error if there are too many."""
    where = f"row group {group}: column {chunk.path_in_schema!r}"
    try:
        size = largest_page(pages, chunk)
    except ValueError as error:
        raise pa.ArrowInvalid(f"{where}: {error}") from None
    if size > MOST_PAGE:
        raise ValueError(f"{file}: {where}: a page expands to {size} bytes, allowed: at most {MOST_PAGE}")
    return size


def _is_text(name: str) -> bool:
    """Whether a name can be shown, and written as UTF-8."""
    return name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raise pyarrow's errors as one line that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file}: cannot be read as Parquet: {reason}") from None
