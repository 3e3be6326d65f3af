"""Decode a split of a data set once, check it while reading, and keep it as one array on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import numpy as np

from eqssl.config.sources import SplitName
from eqssl.data.loading.agreement import Row, rows_of
from eqssl.data.loading.kept import Stored, kept_array
from eqssl.data.loading.location import Shards
from eqssl.data.loading.pixels import decode_into
from eqssl.data.loading.tars import checked
from eqssl.machine.live.progress import track
from eqssl.machine.scratch import scratch
from eqssl.machine.slots import usable_cores

_CHUNK_BYTES, _MOST_IMAGES = 2**23, 256
"""What is decoded before it is written."""


def decoded(shards: Shards, split: SplitName) -> np.memmap:
    """The images of a split as a read-only memory map. The first call for these shards decodes them.

    The file is in the scratch folder, named by the digest of index.json, so different shards never share it.
    A damaged one is named on stderr and decoded again. Several processes may call at once: one decodes and
    the others wait.

    Raises:
        ValueError: a tar is truncated, its checksum, keys, places or labels differ from index.json, or an
            image cannot be decoded or has another shape. The message names the tar, the key and the reason.
        OSError: a file cannot be read or written.
    """
    index = shards.index
    name = f"{index.digest}-{split}"
    path = scratch() / "decoded" / f"{name}.npy"
    shape = (len(index.splits[split]), *index.image_shape)

    def chunks() -> Iterator[Stored]:
        size = _chunk_size(shards)
        total = sum(-(-tar.count // size) for tar in index.tars if tar.split == split)
        return track(_decoded_chunks(shards, split), total, f"decoding {index.dataset} {split}")

    return kept_array(path, name, shape, chunks, index.pixels)


def _chunk_size(shards: Shards) -> int:
    index = shards.index
    size = int(np.prod(index.image_shape)) * np.dtype(index.pixels).itemsize
    return max(1, min(_MOST_IMAGES, _CHUNK_BYTES // size))


def _decoded_chunks(shards: Shards, split: SplitName) -> Iterator[Stored]:
    index, size = shards.index, _chunk_size(shards)
    columns, dtype = index.splits[split], np.dtype(index.pixels)
    with ThreadPoolExecutor(min(8, len(usable_cores()))) as pool:
        for number, places in groupby(range(len(columns)), key=columns.tar.__getitem__):
            tar = index.tars[number]
            rows = rows_of(columns, places)
            with checked(shards, tar, rows) as (file, _):

                def one(
                    row: Row,
                    image: Stored,
                    handle: int = file.fileno(),
                    name: str = shards.name(tar),
                ) -> None:
                    try:
                        decode_into(os.pread(handle, row.size, row.offset), image)
                    except ValueError as error:
                        raise ValueError(f"{name}: {row.key}: {error}") from None

                for start in range(0, len(rows), size):
                    part = rows[start : start + size]
                    images = np.empty((len(part), *index.image_shape), dtype)
                    list(pool.map(one, part, images))
                    yield images
