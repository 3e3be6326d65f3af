"""Reader of IDX files, the format of MNIST (LeCun, Cortes, Burges: the MNIST database)."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from eqssl.config.regular_files import open_regular

MOST_BYTES = 2**28
"""Most bytes of an uncompressed file; those of Fashion-MNIST have up to 47 million."""
MOST_DIMENSIONS = 8
# third byte of the header -> type of the elements, big-endian
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path, sha256: str | None = None) -> np.ndarray:
    """Read an IDX file, plain or compressed (.gz, .xz).

    Args:
        path: the file.
        sha256: hexadecimal SHA-256 of the *uncompressed* bytes, because distributions recompress the files.

    Returns:
        The array, in native byte order, with the dimensions given in the header.

    Raises:
        ValueError: the file is damaged, is not an IDX file, or has another checksum; names the file.
        OSError: the file cannot be read.
    """
    path = Path(path)
    content = _uncompressed(path)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"{path}: SHA-256 of the uncompressed bytes is {found}, expected {sha256}")
    return _parsed(path, content)


def _uncompressed(path: Path) -> bytes:
    """All bytes, but never many more than allowed: a small file can expand to any size."""
    with open_regular(path) as raw:
        try:
            with _expanding(raw, path.suffix) as file:
                content: bytes = file.read(MOST_BYTES + 1)
        except (EOFError, OSError, MemoryError, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"{path}: cannot be decompressed: {error}") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: holds more than {MOST_BYTES} bytes, which is the most that is read")
    return content


def _expanding(raw: BinaryIO, suffix: str) -> gzip.GzipFile | lzma.LZMAFile | BinaryIO:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    return lzma.LZMAFile(raw) if suffix == ".xz" else raw


def _parsed(path: Path, content: bytes) -> np.ndarray:
    dimensions = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * dimensions
    if (
        not 0 < dimensions <= MOST_DIMENSIONS
        or content[:2] != b"\0\0"
        or content[2] not in _TYPES
        or len(content) < start
    ):
        raise ValueError(f"{path}: not an IDX file")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    kind = np.dtype(_TYPES[content[2]])
    expected = math.prod(shape) * kind.itemsize  # Python's integers do not overflow
    if len(content) - start != expected:
        raise ValueError(f"{path}: holds {len(content) - start} bytes of data, its header states {expected}")
    return np.frombuffer(content, kind, offset=start).astype(kind.newbyteorder("=")).reshape(shape)
