"""Read CSV files, with errors that name the file and the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eqssl.config.regular_files import open_regular


@contextmanager
def csv_rows(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> Iterator[csv.DictReader[str]]:
    """The rows of a CSV file as tables, to be read within the block.

    Args:
        path: the file.
        delimiter: what is between two columns.
        encoding: `utf-8`, or `utf-8-sig` for a file that may begin with a mark of this encoding.

    Raises:
        ValueError: a column occurs twice, a field is longer than Python's reader accepts, or the file is not
            UTF-8; names the file.
        OSError: it is not a regular file or cannot be read; names it.
    """
    with io.TextIOWrapper(open_regular(path), encoding=encoding, newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        try:
            names = list(reader.fieldnames or ())
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{path}: the header has the column {twice[0][:100]!r} twice")
            yield reader
        except csv.Error as error:
            raise ValueError(f"{path}: line {reader.line_num + 1}: not CSV: {error}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: is not UTF-8: {error.reason}") from None
