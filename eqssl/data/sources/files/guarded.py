"""An open file for readers of archives that trust the sizes that a file states."""

from __future__ import annotations

import io
from typing import BinaryIO


class Guarded(io.RawIOBase):
    """Reads a file, but refuses to read very much at once.

    `zipfile` and `tarfile` read tables and long names whole, with sizes that the archive states.

    Args:
        file: the file, which stays open.
        most: most bytes of one read.
    """

    def __init__(self, file: BinaryIO, most: int = 2**24) -> None:
        self._file, self._most = file, most

    def read(self, size: int | None = -1) -> bytes:
        """As for any file.

        Raises:
            ValueError: more bytes are asked for and there than are allowed.
        """
        wanted = self._most + 1 if size is None or size < 0 else size
        if wanted > self._most:
            content = self._file.read(self._most + 1)
            if len(content) > self._most:
                raise ValueError(f"has a table or a name of more than {self._most} bytes")
            return content
        return self._file.read(wanted)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As for any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As for any file."""
        return self._file.tell()

    def seekable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """True."""
        return True
