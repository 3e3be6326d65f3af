"""Decode a split of a data set once, check it while reading, and keep it as one array on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from eqssl.config.sources import SplitName
from eqssl.data.images import decode_image
from eqssl.data.loading.agreement import Row, check_agreement
from eqssl.data.loading.kept import kept_array
from eqssl.data.shards.index import ShardIndex, Tar
from eqssl.machine.live.progress import track
from eqssl.machine.scratch import scratch

_CHUNK = 256  # images decoded before they are written
_THREADS = min(8, os.cpu_count() or 1)


def decoded(index: ShardIndex, split: SplitName) -> UInt8[np.memmap, "n c h w"]:
    """The images of a split as a read-only memory map. The first call for these shards decodes them.

    The file is in the scratch folder, named by the digest of index.json, so different shards never share it.
    A damaged one is named on stderr and decoded again. Several processes may call at once: one decodes and
    the others wait.

    Raises:
        ValueError: a tar is truncated, its checksum, keys, places or labels differ from index.json, or an
            image cannot be decoded or has another shape. The message names the tar, the key and the reason.
        OSError: a file cannot be read or written.
    """
    name = f"{index.digest}-{split}"
    path = scratch() / "decoded" / f"{name}.npy"
    shape = (len(index.splits[split]), *index.image_shape)

    def chunks() -> Iterator[UInt8[np.ndarray, "n c h w"]]:
        total = sum(-(-tar.count // _CHUNK) for tar in index.tars if tar.split == split)
        return track(_decoded_chunks(index, split), total, f"decoding {index.dataset} {split}")

    return kept_array(path, name, shape, chunks)


def _decoded_chunks(index: ShardIndex, split: SplitName) -> Iterator[UInt8[np.ndarray, "n c h w"]]:
    columns = index.splits[split]
    with ThreadPoolExecutor(_THREADS) as pool:
        for number, places in groupby(range(len(columns)), key=columns.tar.__getitem__):
            tar = index.tars[number]
            rows = [
                Row(columns.keys[i], columns.offset[i], columns.size[i], columns.labels[i]) for i in places
            ]
            with _checked(index.folder / tar.name, tar, rows) as content:

                def one(
                    row: Row, content: mmap = content, path: Path = index.folder / tar.name
                ) -> UInt8[np.ndarray, "c h w"]:
                    image = content[row.offset : row.offset + row.size]
                    return _image(image, index.image_shape, path, row.key)

                for start in range(0, len(rows), _CHUNK):
                    yield np.stack(list(pool.map(one, rows[start : start + _CHUNK])))


@contextmanager
def _checked(path: Path, tar: Tar, rows: list[Row]) -> Iterator[mmap]:
    """The bytes of a tar, after checking its size, its checksum and its members."""
    size = path.stat().st_size
    if size != tar.bytes:
        state = "is truncated" if size < tar.bytes else "is too long"
        raise ValueError(f"{path}: {state}: {size} bytes, index.json states {tar.bytes}")
    if not size:
        raise ValueError(f"{path}: is empty")
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        found = hashlib.sha256(content).hexdigest()
        if found != tar.sha256:
            raise ValueError(f"{path}: SHA-256 is {found}, index.json states {tar.sha256}")
        check_agreement(content, path, rows)
        yield content


def _image(content: bytes, shape: tuple[int, int, int], path: Path, key: str) -> UInt8[np.ndarray, "c h w"]:
    try:
        image = decode_image(content).transpose(2, 0, 1)
    except ValueError as error:
        raise ValueError(f"{path}: {key}: {error}") from None
    if image.shape != shape:
        raise ValueError(f"{path}: {key}: image of shape {image.shape}, index.json states {shape}")
    return image
