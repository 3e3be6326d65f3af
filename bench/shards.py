"""Sharding JPEGs of 224 pixels: images per second and bytes, beside WebDataset's writer and Pillow.

    python bench/shards.py [--images N] [--processes N] [--json FILE]

The images are smoothed noise, saved as JPEGs of about 25 kB. Ours includes all that `eqssl shard` does once it
is running: reading the files, starting the processes, decoding, checks, hashes, tars and index.json. The
peers do less: WebDataset's ShardWriter copies the files into tars, and Pillow decodes, resizes and encodes as
PNG in as many processes, without any file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import webdataset
from PIL import Image, ImageFilter

from eqssl.config.jobs import ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.machine.provenance import record

SIDE, LARGE = 224, 320
TARGETS = {"as they came": 1000.0, "resized": 300.0}
MOST_BYTES = 1.1


class Files:
    """Image files in a folder, with two classes and a tenth of them for tests."""

    classes, licence, origin, notes = ("a", "b"), "none", "made up", ()

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.iterdir())

    def count(self) -> int:
        """Number of files."""
        return len(self._paths)

    def samples(self) -> Iterator[Sample]:
        """The files."""
        for i, path in enumerate(self._paths):
            yield Sample(path.stem, path.read_bytes(), i % 2, "train" if i % 10 else "test", i)


def make(folder: Path, count: int, side: int) -> int:
    """Write so many JPEGs, and give the sum of their sizes."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        noise = Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        smooth = np.asarray(noise.filter(ImageFilter.GaussianBlur(1.2)), np.float64)
        image = np.clip((smooth - 127.5) * 2 + 127.5, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"image-{i:06d}.jpg", quality=88)
    return total(folder)


def total(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        work()
    return time.perf_counter() - started


def shard(source: Path, out: Path, processes: int) -> None:
    """What `eqssl shard` does."""
    data = {"source": "folder", "path": str(source), "size": SIDE, "mask": "none"}
    settings = ShardSettings(count=2, validation=0.1, seed=0)
    job = ShardJob(dataset="bench", data=SourceSettings.read(data), shards=settings)
    write_source(Files(source), job, out, processes)


def copy(source: Path, out: Path) -> None:
    """WebDataset's own writer, in one process: it has no other way."""
    out.mkdir()
    with webdataset.ShardWriter(f"{out}/%05d.tar", maxcount=500, verbose=0) as writer:
        for i, path in enumerate(sorted(source.iterdir())):
            writer.write({"__key__": path.stem, "jpg": path.read_bytes(), "cls": str(i % 2).encode()})


def pillow(source: Path, processes: int) -> None:
    """Decode, resize, encode as PNG."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(pillow_one, sorted(source.iterdir()), chunksize=16))


def pillow_one(path: Path) -> int:
    """The same for one image; the result is left out."""
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    resized.save(buffer, "PNG")
    return buffer.tell()


def measure(folder: Path, count: int, processes: int, rounds: int) -> list[dict[str, Any]]:
    """The fastest of some rounds of each, in turns, since other programs only slow them down."""
    bytes_of = {"as they came": make(folder / "small", count, SIDE), "resized": make(folder / "large", count, LARGE)}
    sources = {"as they came": folder / "small", "resized": folder / "large"}
    seconds: dict[tuple[str, str], list[float]] = {}
    rows = []
    for number in range(rounds):
        for what, source in sources.items():
            out = folder / f"ours-{what}-{number}"
            works: dict[str, Callable[[], object]] = {
                "eqssl": lambda s=source, o=out: shard(s, o, processes),
                "webdataset": lambda s=source, o=folder / f"theirs-{what}-{number}": copy(s, o),
                "pillow": lambda s=source: pillow(s, processes),
            }
            for name in ("eqssl", "webdataset" if what == "as they came" else "pillow"):
                seconds.setdefault((what, name), []).append(timed(works[name]))
    for (what, name), found in seconds.items():
        row: dict[str, Any] = {"what": what, "by": name, "images_per_second": round(count / min(found), 1)}
        made = folder / f"{'ours' if name == 'eqssl' else 'theirs'}-{what}-0"
        if made.exists():
            row |= {"source_bytes": bytes_of[what], "bytes_ratio": round(total(made) / bytes_of[what], 4)}
        rows.append(row)
    return rows


def main() -> int:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1400)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.images, options.processes, options.rounds)
    for row in rows:
        text = f"{row['what']:12} {row['by']:10} {row['images_per_second']:8.1f} images/s"
        print(text + (f", {row['bytes_ratio']:.3f} of the source's bytes" if "bytes_ratio" in row else ""))
    ours = {row["what"]: row for row in rows if row["by"] == "eqssl"}
    missed = [what for what, least in TARGETS.items() if ours[what]["images_per_second"] < least]
    if ours["as they came"]["bytes_ratio"] > MOST_BYTES:
        missed.append("bytes")
    print(f"targets: {TARGETS} images/s, {MOST_BYTES} of the bytes; missed: {', '.join(missed) or 'none'}")
    if options.json is not None:
        result = {"images": options.images, "processes": options.processes, "rounds": options.rounds}
        values = {**result, "targets": TARGETS, "rows": rows, "made_with": record()}
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
