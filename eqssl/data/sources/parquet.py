"""Parquet files with an image column, in every layout of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from eqssl.config.sources import ParquetSettings
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.base import EVERY, Sample
from eqssl.data.sources.files.split_files import FoundFiles, found_files
from eqssl.data.sources.tables.parquet_file import ParquetFile
from eqssl.data.sources.tables.tables import TableImages

_ENDINGS = (".parquet", ".pq")


class ParquetFolder:
    """Images in `settings.path`: a folder of Parquet files, or one file, read a few rows at a time.

    Images are encoded: binary, struct<bytes, path>, or paths of files that lie beside. Labels are whole
    numbers, texts, true and false. Class names come from the Hugging Face metadata of the schema; without it,
    the values are the names. A key, such as `train-00000017`, is the split and the row, counted across the
    files in the order of their names.

    Raises:
        ValueError: a file or a column is missing, or does not fit; names the file.
        OSError: a file is a pipe or the like, or the folder cannot be read.
    """

    licence = "not stated in the files"

    def __init__(self, settings: ParquetSettings) -> None:
        path = Path(settings.path)
        found = found_files(path, _ENDINGS, settings.files)
        top = path if path.is_dir() else path.parent
        tables = []
        for file, split in found.files:
            name = file.relative_to(top).as_posix()
            if hive := [part for part in name.split("/")[:-1] if "=" in part]:
                raise ValueError(
                    f"{file}: the folder {hive[0]!r} stands for a column, which is not read; write "
                    "the column into the files"
                )
            tables.append(ParquetFile(file, name, split, tuple(dict.fromkeys((file.parent, top)))))
        self._images = TableImages(tables, settings, (top.resolve(),))
        self.classes = self._images.classes
        self.origin = f"Parquet files {shown_names(table.name for table in tables)}"
        self.notes = (*_noted(found, self._images.names_files), *self._images.notes)

    def count(self) -> int:
        """Number of rows."""
        return self._images.count()

    def samples(self) -> Iterator[Sample]:
        """The images of one split after the other, in the order of file names and rows.

        Raises:
            ValueError: a row has no image, or what it says does not fit; names the file, row and key.
            OSError: a file that a row names is a pipe or the like.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        return self._images.outline(wanted)


def _noted(found: FoundFiles, names_files: bool) -> list[str]:
    """What is left out. Files beside may be images that rows name."""
    if not names_files or not found.others:
        return found.all_notes()
    return [
        *found.notes,
        f"Read only where a row names a file: {shown_names(found.others)}.",
    ]
