"""Files that are either whole or absent: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eqssl.config.plain import refuse_constant
from eqssl.config.regular_files import open_regular, read_text
from eqssl.machine.naming import naming

LONGEST_JSON = 2**29
"""Bytes of a JSON file; the index of five million images needs no more."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` if the block raises no error.

    The content is flushed to disk before the rename, so a crash leaves either the old file or the new one. An
    error of the system that names no file, such as that of a full disk, names this one.

    Raises:
        OSError: a device or a folder stands there, or it cannot be written; names the file.
    """
    path = Path(path)
    if path.is_char_device() and not path.is_symlink():  # renaming would replace it for the whole machine
        raise OSError(f"{path}: is a device, allowed: a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:  # it names the temporary file, which nobody has asked for
        raise type(error)(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path):
            yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, values: object) -> None:
    """Write JSON atomically, with sorted keys and a final newline, so that equal values give equal bytes."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: the file.
        needed: keys that it must have.

    Raises:
        ValueError: it is too large, not JSON, no object, holds NaN or Infinity, or lacks a key; names it.
        OSError: it is no regular file or cannot be read; names it.
    """
    path = Path(path)
    text = read_text(path, LONGEST_JSON)
    if not text.strip():
        raise ValueError(f"{path}: not JSON: it is empty")
    try:
        values = json.loads(text, parse_constant=refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"{path}: not JSON of ours: tables within tables, too deep to read") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: given {type(values).__name__}, allowed: a table of values")
    missing = [key for key in needed if key not in values]
    if missing:
        raise ValueError(f"{path}: {', '.join(missing)}: missing")
    return values


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        OSError: it is not a regular file or cannot be read; names it.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finite(text: str) -> float:
    """A number with a fraction or an exponent; 1e999 would be read as Infinity."""
    number = float(text)
    return number if math.isfinite(number) else refuse_constant(text)
