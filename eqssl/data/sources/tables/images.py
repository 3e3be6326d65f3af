"""Cells of a column of images: encoded bytes, or the path of a file that lies beside the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from eqssl.config.plain import shown
from eqssl.config.regular_files import read_bytes
from eqssl.data.sources.tables.columns import Table
from eqssl.data.sources.tables.types import image_kind

_LARGEST = 10**8
"""Bytes of a file that a row names."""


class ImageCells:
    """The images of some rows.

    Args:
        column: the cells, as Arrow has them.
        folders: where files are looked for that the rows name, one after the other.
        top: folders that such files must not leave.
    """

    def __init__(self, column: Any, folders: tuple[Path, ...], top: tuple[Path, ...]) -> None:
        self._folders, self._top = folders, top
        self._bytes: Any = None
        self._paths: Any = None
        kind = image_kind(column.type)
        if kind == "struct":
            # null where the struct is null, unlike .field
            self._bytes, self._paths = (
                pc.struct_field(column, name) if column.type.get_field_index(name) >= 0 else None
                for name in ("bytes", "path")
            )
        elif kind == "paths":
            self._paths = column
        else:
            self._bytes = column

    @staticmethod
    def may_name_files(table: Table, column: str) -> bool:
        """Whether cells of a column may be paths of files."""
        return image_kind(table.schema.field(column).type) != "bytes"

    def read(self, i: int) -> tuple[bytes, str | None]:
        """Content of the image file of a row, and its path if the row has one.

        Raises:
            ValueError: there is neither, or the file is missing, too large or elsewhere; the caller says
                where.
            OSError: the file is a pipe or the like.
        """
        content = None if self._bytes is None else self._bytes[i].as_py()
        path = None if self._paths is None else self._paths[i].as_py()
        if content:
            return content, path
        if not path:
            raise ValueError("has no image bytes" + ("" if self._paths is None else " and no path of a file"))
        return self._file(path)

    def _file(self, path: str) -> tuple[bytes, str]:
        if not path.isprintable() or len(path) > 4000:
            raise ValueError(f"has no image bytes but the path {shown(path)}, allowed: printable letters")
        if "://" in path:
            raise ValueError(f"has no image bytes but the address {shown(path)}, which is not fetched")
        for folder in self._folders:
            place = folder / path
            try:
                real = place.resolve()
                if not any(real.is_relative_to(top) for top in self._top):
                    raise ValueError(
                        f"has no image bytes but the path {shown(path)}, which leads out of the folder of "
                        "the data set"
                    )
                there = real.exists()
            except (OSError, RuntimeError) as error:
                raise ValueError(
                    f"has no image bytes, and the path {shown(path)} is no file: {error}"
                ) from None
            if there:
                content = read_bytes(real, _LARGEST)
                if not content:
                    raise ValueError(f"names the file {path}, which is empty")
                return content, self._shown(real, path)
        raise ValueError(
            f"has no image bytes, and there is no file {shown(path)} in {self._folders[0]} or above it"
            if len(self._folders) > 1
            else f"has no image bytes, and there is no file {shown(path)} in {self._folders[0]}"
        )

    def _shown(self, real: Path, path: str) -> str:
        """The path as the row has it, or below the folder of the data set if it begins at the root."""
        if not Path(path).is_absolute():
            return path
        return next((str(real.relative_to(top)) for top in self._top if real.is_relative_to(top)), path)
