"""Decode a split of a data set once, check it while reading, and keep it as one array on disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import groupby
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from eqssl.data.images import decode_image
from eqssl.data.shards.gathering import naming
from eqssl.data.shards.index import ShardIndex, SplitName, Tar
from eqssl.machine.files import atomic
from eqssl.machine.live.progress import track
from eqssl.machine.scratch import scratch

_CHUNK = 256  # images decoded before they are written
_THREADS = min(8, os.cpu_count() or 1)


def decoded(index: ShardIndex, split: SplitName) -> UInt8[np.memmap, "n c h w"]:
    """The images of a split as a read-only memory map. The first call for these shards decodes them.

    The file is in the scratch folder, named by the digest of index.json, so different shards never share it.
    Several processes may call at once: one decodes and the others wait.

    Raises:
        ValueError: a tar is truncated, has another checksum than index.json states, or holds an image that
            cannot be decoded or has another shape. The message names the tar, the key and the reason.
        OSError: a file cannot be read or written.
    """
    path = scratch() / "decoded" / f"{index.digest}-{split}.npy"
    shape = (len(index.splits[split]), *index.image_shape)
    if (images := _opened(path, shape)) is not None:
        return images
    with _only_one(path.with_suffix(".lock")):
        if (images := _opened(path, shape)) is not None:
            return images
        with naming(path), atomic(path) as temporary:
            _write(index, split, shape, temporary)
    if (images := _opened(path, shape)) is None:
        raise OSError(f"{path}: was written but cannot be read back")
    return images


def _opened(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """The array that an earlier call wrote; None if it is missing or not whole."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, FileNotFoundError):
        return None
    whole = isinstance(images, np.memmap) and images.shape == shape and images.dtype == np.uint8
    return images if whole else None


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let in one process at a time. A file system without locks is no error: the work is then done twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(index: ShardIndex, split: SplitName, shape: tuple[int, ...], path: Path) -> None:
    # not through a memory map: there a full disk would kill the process (SIGBUS) instead of raising an error
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        chunks = _decoded_chunks(index, split)
        total = sum(-(-tar.count // _CHUNK) for tar in index.tars if tar.split == split)
        for chunk in track(chunks, total, f"decoding {index.dataset} {split}"):
            file.write(chunk.tobytes())


def _decoded_chunks(index: ShardIndex, split: SplitName) -> Iterator[UInt8[np.ndarray, "n c h w"]]:
    columns = index.splits[split]
    with ThreadPoolExecutor(_THREADS) as pool:
        for number, rows in groupby(range(len(columns)), key=columns.tar.__getitem__):
            tar = index.tars[number]
            places = [(columns.keys[i], columns.offset[i], columns.size[i]) for i in rows]
            with _checked(index.folder / tar.name, tar) as content:

                def one(
                    place: tuple[str, int, int], content: mmap = content, path: Path = index.folder / tar.name
                ) -> UInt8[np.ndarray, "c h w"]:
                    key, offset, size = place
                    return _image(content[offset : offset + size], index.image_shape, path, key)

                for start in range(0, len(places), _CHUNK):
                    yield np.stack(list(pool.map(one, places[start : start + _CHUNK])))


@contextmanager
def _checked(path: Path, tar: Tar) -> Iterator[mmap]:
    """The bytes of a tar, once its size and its checksum are found to be right."""
    size = path.stat().st_size
    if size != tar.bytes:
        state = "is truncated" if size < tar.bytes else "is too long"
        raise ValueError(f"{path}: {state}: {size} bytes, index.json states {tar.bytes}")
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        found = hashlib.sha256(content).hexdigest()
        if found != tar.sha256:
            raise ValueError(f"{path}: SHA-256 is {found}, index.json states {tar.sha256}")
        yield content


def _image(content: bytes, shape: tuple[int, int, int], path: Path, key: str) -> UInt8[np.ndarray, "c h w"]:
    try:
        image = decode_image(content).transpose(2, 0, 1)
    except ValueError as error:
        raise ValueError(f"{path}: {key}: {error}") from None
    if image.shape != shape:
        raise ValueError(f"{path}: {key}: image of shape {image.shape}, index.json states {shape}")
    return image
