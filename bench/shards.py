"""Sharding JPEGs of 224 pixels: images per second and bytes, beside WebDataset's writer and Pillow.

    python bench/shards.py [--images N] [--processes N] [--json FILE]

The images are smoothed noise, saved as JPEGs of about 25 kB. Ours includes all that `eqssl shard` does once
it is running: reading the files, starting the processes, decoding, checks, hashes, tars and index.json. The
peers do less: WebDataset's ShardWriter copies the files into tars, and Pillow decodes, resizes and encodes in
as many processes, without any file. PNG has no target: its compression alone takes longer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from eqssl.config.jobs import ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.machine.provenance import record

SIDE, LARGE = 224, 320
TARGETS = {"as they came": 1000.0, "resized to jpeg": 300.0}
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


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that it takes, and seconds of processors, its processes included."""
    started, used = time.perf_counter(), processor_seconds()
    with contextlib.redirect_stderr(io.StringIO()):
        work()
    return time.perf_counter() - started, processor_seconds() - used


def processor_seconds() -> float:
    """Of this process and of those that it started and that ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def shard(source: Path, out: Path, processes: int, store: str) -> None:
    """What `eqssl shard` does."""
    data = {"source": "folder", "path": str(source), "size": SIDE, "mask": "none", "store": store}
    settings = ShardSettings(count=2, validation=0.1, seed=0)
    job = ShardJob(dataset="bench", data=SourceSettings.read(data), shards=settings)
    write_source(Files(source), job, out, processes)


def copy(source: Path, out: Path) -> None:
    """WebDataset's own writer, in one process: it has no other way."""
    import webdataset  # it loads torch, which new processes would do too

    out.mkdir()
    with webdataset.ShardWriter(f"{out}/%05d.tar", maxcount=500, verbose=0) as writer:
        for i, path in enumerate(sorted(source.iterdir())):
            writer.write({"__key__": path.stem, "jpg": path.read_bytes(), "cls": str(i % 2).encode()})


def pillow(source: Path, processes: int, store: str) -> None:
    """Decode, resize, encode."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(pillow_one, store=store), sorted(source.iterdir()), chunksize=16))


def pillow_one(path: Path, store: str) -> int:
    """The same for one image; the result is left out."""
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    resized.save(buffer, store.upper(), quality=95, subsampling=0)
    return buffer.tell()


def measure(folder: Path, count: int, processes: int, rounds: int) -> list[dict[str, Any]]:
    """The fastest of some rounds of each, in turns, since other programs only slow them down."""
    small, large = folder / "small", folder / "large"
    bytes_of = {small: make(small, count, SIDE), large: make(large, count, LARGE)}
    sources = {
        "as they came": (small, "png"),
        "resized to jpeg": (large, "jpeg"),
        "resized to png": (large, "png"),
    }
    rows: list[dict[str, Any]] = []
    for what, (source, store) in sources.items():
        works: dict[str, Callable[[Path], object]] = {
            "eqssl": partial(_ours, source, processes, store),
            "webdataset": partial(copy, source),
            "pillow": partial(_pillow, source, processes, store),
        }
        del works["pillow" if source == small else "webdataset"]
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for number in range(rounds):
            for name, work in works.items():
                seconds[name].append(timed(partial(work, folder / f"{name} {what} {number}")))
        for name, found in seconds.items():
            row: dict[str, Any] = {
                "what": what,
                "by": name,
                "images_per_second": round(count / min(wall for wall, _ in found), 1),
                "cpu_ms_per_image": round(1000 * min(cpu for _, cpu in found) / count, 3),
            }
            if (made := folder / f"{name} {what} 0").exists():
                row |= {
                    "source_bytes": bytes_of[source],
                    "bytes_ratio": round(total(made) / bytes_of[source], 4),
                }
            rows.append(row)
    return rows


def _ours(source: Path, processes: int, store: str, out: Path) -> None:
    shard(source, out, processes, store)


def _pillow(source: Path, processes: int, store: str, out: Path) -> None:
    pillow(source, processes, store)


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
        text = f"{row['what']:15} {row['by']:10} {row['images_per_second']:8.1f} images/s"
        text += f", {row['cpu_ms_per_image']:6.2f} ms of processors each"
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
