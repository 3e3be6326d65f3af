"""Reader of IDX files, the format of MNIST (LeCun, Cortes, Burges: the MNIST database)."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from pathlib import Path

import numpy as np

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
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            return gzip.decompress(content)
        if path.suffix == ".xz":
            return lzma.decompress(content)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path}: cannot be decompressed: {error}") from None
    return content


def _parsed(path: Path, content: bytes) -> np.ndarray:
    dimensions = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * dimensions
    if dimensions == 0 or content[:2] != b"\0\0" or content[2] not in _TYPES or len(content) < start:
        raise ValueError(f"{path}: not an IDX file")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    kind = np.dtype(_TYPES[content[2]])
    expected = int(np.prod(shape, dtype=np.uint64)) * kind.itemsize
    if len(content) - start != expected:
        raise ValueError(f"{path}: holds {len(content) - start} bytes of data, its header states {expected}")
    return np.frombuffer(content, kind, offset=start).astype(kind.newbyteorder("=")).reshape(shape)
