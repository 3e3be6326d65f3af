"""Shards of JPEGs that look like photographs to a decoder: smooth colours, edges, and grain."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from webdataset import TarWriter

from eqssl.config.sources import SplitName
from eqssl.data.shards.index import Columns, ShardIndex, Tar
from eqssl.data.shards.ustar import members
from eqssl.machine.files import sha256


def photograph(number: int, side: int, quality: int = 90) -> bytes:
    """A made-up JPEG of a number."""
    random = np.random.default_rng(number)
    pixels = np.zeros((side, side, 3), np.float32)
    for cells, strength in ((4, 90), (12, 45), (40, 20)):
        coarse = random.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        rows = [np.asarray(Image.fromarray(coarse[:, :, c]).resize((side, side), 2)) for c in range(3)]
        pixels += np.stack(rows, 2)
    pixels += 120 + random.normal(0, 5, (side, side, 1))
    for _ in range(6):
        top, left, size = random.integers(0, side, 3)
        pixels[top : top + size // 3, left : left + size // 3] += random.normal(0, 40, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_jpeg_shards(folder: Path, counts: dict[SplitName, int], side: int, tars: int = 4) -> ShardIndex:
    """Write shards of made-up photographs in two classes, as `store: jpeg` writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    described: list[Tar] = []
    columns: dict[SplitName, Columns] = {}
    number = 0
    for split, count in counts.items():
        rows: list[tuple[str, int, int, int, int]] = []
        for part in np.array_split(np.arange(count), min(tars, count)):
            path = folder / f"{split}-{len(described):05d}.tar"
            with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
                for i in part:
                    content = {"jpg": photograph(number, side), "cls": str(i % 2).encode()}
                    tar.write({"__key__": f"{split}-{i:07d}", **content})
                    number += 1
            places = {member.name: member for member in members(path)}
            for i in part:
                key = f"{split}-{i:07d}"
                place = places[f"{key}.jpg"]
                rows.append((key, int(i % 2), len(described), place.offset, place.size))
            size = path.stat().st_size
            described.append(
                Tar(name=path.name, split=split, sha256=sha256(path), count=len(part), bytes=size)
            )
        keys, labels, tar_of, offset, sizes = zip(*rows, strict=True)
        columns[split] = Columns(keys=keys, labels=labels, tar=tar_of, offset=offset, size=sizes)
    index = ShardIndex(
        dataset="photographs",
        origin="made up",
        licence="CC0",
        classes=("even", "odd"),
        image_shape=(3, side, side),
        mean=(0.47, 0.47, 0.47),
        std=(0.3, 0.3, 0.3),
        version="0",
        job={},
        tars=tuple(described),
        splits=columns,
    )
    index.write(folder)
    return ShardIndex.load(folder)
