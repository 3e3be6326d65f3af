"""An array that is made once and kept on disk. If it is not whole when it is opened, it is made again.

A small JSON file beside the array is written after it. It holds the SHA-256 of the array, what it was made
of, and the identity of the file when it was last read from end to end (`eqssl.machine.hashes`). As long as
the identity is the same, the array is opened at once. Otherwise it is hashed first, which takes more than ten
seconds for 20 GB.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8, UInt16
from pydantic import BaseModel, ConfigDict

from eqssl.config.regular_files import open_regular
from eqssl.machine.files import atomic, write_text
from eqssl.machine.hashes import TICK, Identity, hashed, open_identity
from eqssl.machine.locks import open_lock

Stored: TypeAlias = UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]
Chunks = Callable[[], Iterable[Stored]]
_LONGEST_NOTE = 2**12  # bytes


def kept_array(
    path: Path,
    made_of: str,
    shape: tuple[int, ...],
    chunks: Chunks,
    pixels: Literal["uint8", "uint16"] = "uint8",
) -> np.memmap:
    """A read-only memory map of the array in a file. It is made if missing, damaged or made of other things.

    Several processes may call at once: one makes the array and the others wait.

    Args:
        path: the .npy file; its note and its lock are beside it.
        made_of: names everything that the content depends on.
        shape: of the array.
        chunks: gives the content, part by part.
        pixels: type of its numbers.

    Raises:
        OSError: it cannot be written.
    """
    array = _Kept(path, made_of, shape, np.dtype(pixels).newbyteorder("<"))
    with suppress(ValueError, OSError):
        return array.trusted()
    with _only_one(path.with_suffix(".lock")):
        try:
            return array.checked()
        except FileNotFoundError:
            pass
        except (ValueError, OSError) as error:
            print(f"eqssl: {error}; it is made again", file=sys.stderr, flush=True)
        array.write(chunks())
        try:
            return array.checked()
        except (ValueError, OSError) as error:
            raise OSError(f"{path}: was written but cannot be read back: {error}") from None


class _Note(BaseModel):
    """What is written beside an array."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    made_of: str
    sha256: str
    identity: Identity | None


class _Kept:
    """An array on disk; the arguments are those of `kept_array`."""

    def __init__(self, path: Path, made_of: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._made_of, self._shape, self._dtype = path, made_of, shape, dtype
        self._note_path = path.with_suffix(".json")
        header = io.BytesIO()
        description = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, description)
        self._header = header.getvalue()

    def trusted(self) -> np.memmap:
        """The array, if its file has not changed since it was last found to be whole.

        Raises:
            ValueError: it has changed, or may have.
            OSError: the array or its note cannot be read.
        """
        with open_regular(self._path) as file:
            if self._note().identity != open_identity(file, self._path):
                raise ValueError(f"{self._path}: was written to since it was last read")
            return self._mapped(file)

    def checked(self) -> np.memmap:
        """The array, after reading all of it and finding it whole.

        Raises:
            ValueError: it is not whole; names the file and the reason.
            FileNotFoundError: there is no array.
            OSError: the array cannot be read.
        """
        with open_regular(self._path) as file:
            note = self._note()
            found, identity = hashed(file, self._path)
            if found != note.sha256:
                raise ValueError(
                    f"{self._path}: SHA-256 is {found}, {self._note_path.name} states {note.sha256}"
                )
            images = self._mapped(file)
        with suppress(OSError):  # then it is only read again next time
            self._write_note(found, identity)
        return images

    def write(self, chunks: Iterable[Stored]) -> None:
        """Write the array, then its note."""
        digest = hashlib.sha256(self._header)
        # not through a memory map: there a full disk would kill the process (SIGBUS) and raise no error
        with atomic(self._path) as temporary, temporary.open("wb") as file:
            file.write(self._header)
            for chunk in chunks:
                content = np.ascontiguousarray(chunk, self._dtype).data.cast("B")
                digest.update(content)
                file.write(content)
        self._write_note(digest.hexdigest(), None)
        time.sleep(2 * TICK / 1e9)  # so that the identity stands for these bytes when they are read back

    def _note(self) -> _Note:
        try:
            with open_regular(self._note_path) as file:
                note = _Note.model_validate_json(file.read(_LONGEST_NOTE))
        except (ValueError, OSError):
            raise ValueError(
                f"{self._path}: {self._note_path.name} beside it is missing or damaged"
            ) from None
        if note.made_of != self._made_of:
            raise ValueError(f"{self._path}: was made of {note.made_of!r}, wanted: {self._made_of!r}")
        return note

    def _write_note(self, sha256: str, identity: Identity | None) -> None:
        note = _Note(made_of=self._made_of, sha256=sha256, identity=identity)
        write_text(self._note_path, f"{note.model_dump_json()}\n")

    def _mapped(self, file: io.BufferedReader) -> np.memmap:
        """A map of the open file. Its header is compared with the only right one, so nothing is parsed."""
        file.seek(0)
        size = len(self._header) + prod(self._shape) * self._dtype.itemsize
        if file.read(len(self._header)) != self._header or open_identity(file, self._path).size != size:
            raise ValueError(f"{self._path}: is not an array of {self._dtype} of shape {self._shape}")
        return np.memmap(file, self._dtype, "r", len(self._header), self._shape)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let in one process at a time. On a file system without locks the work may be done twice instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(path) as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
