"""Loading of JPEGs of 224 pixels from tars: images per second and memory, here and with others, in turns.

    python bench/loading.py [--images N] [--rounds N] [--litdata FOLDER] [--json FILE]

Each loader shuffles, decodes to uint8 and makes batches of 128 with two threads or two worker processes, in
processes of its own, so that its memory can be told: the peak of the shared and own memory (PSS) of all of
them. Rounds run all loaders one after the other. On a busy machine the images per second of the processor
(`per_cpu_second`, of one core) say more than those of the clock. webdataset decodes with Pillow, as its
`decode("rgb8")` does. litdata has the same bytes in chunks of its own and decodes with simplejpeg, since its
own decoder needs torchvision. `--litdata` names a folder where it was installed with `pip install --target`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from _jpeg_shards import write_jpeg_shards

BATCH, THREADS, SIDE = 128, 2, 224
EPOCHS = 2  # the first warms up


def ours(folder: Path, decoded_mb: int) -> Iterator[int]:
    """Numbers of images of the batches of an epoch, with this package."""
    from eqssl.data.loading.batches import Batches, load_split
    from eqssl.data.loading.location import Budget

    batches = Batches(load_split(folder, "train", Budget(decoded_mb)), BATCH, 0, "cpu")
    for epoch in range(EPOCHS):
        yield from (len(images) for images, _ in batches.epoch(epoch))
        yield 0


def webdataset(folder: Path) -> Iterator[int]:
    """The same with webdataset: shuffled shards, and a buffer of 1,000 images."""
    import webdataset as wds

    tars = sorted(map(str, folder.glob("train-*.tar")))
    data = wds.WebDataset(tars, shardshuffle=len(tars), seed=0).shuffle(1000).decode("rgb8")
    loader = wds.WebLoader(
        data.to_tuple("jpg", "cls").batched(BATCH), batch_size=None, num_workers=THREADS, prefetch_factor=2
    )
    for _ in range(EPOCHS):
        yield from (len(images) for images, _ in loader)
        yield 0


def litdata(folder: Path) -> Iterator[int]:
    """The same with litdata."""
    import litdata
    import simplejpeg

    class Photographs(litdata.StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            found = super().__getitem__(index)
            return simplejpeg.decode_jpeg(found["image"], "RGB"), found["label"]

    data = Photographs(str(folder / "litdata"), shuffle=True, drop_last=False)
    loader = litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=THREADS)
    for _ in range(EPOCHS):
        yield from (len(images) for images, _ in loader)
        yield 0


def write_litdata(folder: Path) -> None:
    """The images of the tars in litdata's chunks of 64 MB."""
    import tarfile

    from litdata.streaming.cache import Cache

    cache = Cache(str(folder / "litdata"), chunk_bytes=2**26)
    number = 0
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    file = tar.extractfile(member)
                    cache[number] = {"image": file.read() if file else b"", "label": number % 2}
                    number += 1
    cache.done()
    cache.merge()


LOADERS = {
    "eqssl, streamed": lambda folder: ours(folder, 0),
    "eqssl, decoded once": lambda folder: ours(folder, 2**20),
    "webdataset": webdataset,
    "litdata": litdata,
}


def measure(name: str, folder: Path) -> dict[str, float]:
    """Speed of the last epoch and peak memory; in a process of its own."""
    import torch

    torch.set_num_threads(1)
    peak: list[int] = [0]
    threading.Thread(target=watch, args=[peak], daemon=True).start()
    images, started, cpu = 0, time.perf_counter(), processor()
    for count in LOADERS[name](folder):
        images += count
        if not count:
            finished = (images, time.perf_counter() - started, processor() - cpu)
            images, started, cpu = 0, time.perf_counter(), processor()
    count, seconds, used = finished
    return {
        "images_per_second": round(count / seconds, 1),
        "per_cpu_second": round(count / used, 1),
        "peak_mb": round(peak[0] / 1024, 1),
    }


def watch(peak: list[int]) -> None:
    """Note the most memory of this process and its children, in kB, again and again."""
    while True:
        pids = [os.getpid()]
        for children in Path("/proc/self/task").glob("*/children"):
            pids += map(int, children.read_text().split())
        total = 0
        for pid in pids:
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0])
        peak[0] = max(peak[0], total)
        time.sleep(0.25)


def processor() -> float:
    """Seconds of processor time of this process and of its workers that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run(folder: Path, names: list[str], rounds: int) -> list[dict[str, Any]]:
    """All loaders in turns; the best round of each, since others use the machine too."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 else reversed(names):
            command = [sys.executable, __file__, "--one", name, "--folder", str(folder), *sys.argv[1:]]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[name].append(json.loads(output.splitlines()[-1]))
    return [
        {
            "loader": name,
            **{
                key: max(row[key] for row in rows)
                for key in ("images_per_second", "per_cpu_second", "peak_mb")
            },
            "median_images_per_second": statistics.median(row["images_per_second"] for row in rows),
        }
        for name, rows in found.items()
    ]


def main() -> None:
    """Write the shards, run the loaders, print and store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litdata", type=Path, help="folder where litdata is installed")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.litdata:
        sys.path.append(str(options.litdata))
    if options.one:
        print(json.dumps(measure(options.one, options.folder)))
        return
    from eqssl.machine.provenance import record

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EQSSL_SCRATCH"] = str(folder / "scratch")
        index = write_jpeg_shards(folder, {"train": options.images, "val": 4, "test": 4}, SIDE)
        names = [loader for loader in LOADERS if loader != "litdata" or options.litdata]
        if options.litdata:
            write_litdata(folder)
        rows = run(folder, names, options.rounds)
        size = sum(index.splits["train"].size) / options.images
    result = {
        "images": options.images,
        "side": SIDE,
        "bytes_per_image": round(size),
        "batch": BATCH,
        "threads": THREADS,
        "rounds": options.rounds,
        "load": os.getloadavg()[0],
        "rows": rows,
        "versions": record(),
    }
    for row in rows:
        print(*(f"{key} {value}" for key, value in row.items()), sep=", ")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
