"""Features of 1,000 JPEGs: `eqssl embed` and a plain loop over a DataLoader, in turns.

    python bench/embed.py [--images N] [--rounds N] [--json FILE]

Both read the same files of 224 pixels at 64 pixels with the same C4 encoder, use all cores, and write
Parquet; each runs in a process of its own, from its start to its end. The loop is what one writes in a
notebook: Pillow decodes, as many workers as cores, batches of 64, `torch.inference_mode`. Memory is the peak
of the shared and own memory (PSS) of all processes.
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
from pathlib import Path
from typing import Any

import numpy as np
from _jpeg_shards import photograph
from loading import processor, watch

SIDE, ENCODED, BATCH = 224, 64, 64


def plain(folder: Path) -> None:
    """The loop that one writes in a notebook."""
    import pandas
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    import eqssl
    from eqssl.data.disc import disc

    encoder = eqssl.load_encoder(folder / "encoder")
    mean, std = (torch.tensor(values)[:, None, None] for values in (encoder.mean, encoder.std))
    inside = torch.from_numpy(np.array(disc(ENCODED)))

    class Photographs(Dataset):  # type: ignore[type-arg]
        files = sorted((folder / "images").iterdir())

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, i: int) -> Any:
            image = (
                Image.open(self.files[i]).convert("RGB").resize((ENCODED, ENCODED), Image.Resampling.BICUBIC)
            )
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
            return (pixels * inside - mean) / std

    found = []
    with torch.inference_mode():
        for images in DataLoader(Photographs(), BATCH, num_workers=len(os.sched_getaffinity(0))):
            found.extend(encoder.invariant(images).numpy())
    names = [file.name for file in Photographs.files]
    pandas.DataFrame({"name": names, "invariant": found}).to_parquet(folder / "plain.parquet")


def ours(folder: Path) -> None:
    """`eqssl embed`."""
    from eqssl.cli import main

    arguments = ["--encoder", str(folder / "encoder"), "--out", str(folder / "ours.parquet")]
    if main(["embed", str(folder / "images"), *arguments]):
        raise SystemExit(1)


WAYS = {"eqssl embed": ours, "DataLoader loop": plain}


def measure(name: str, folder: Path) -> dict[str, float]:
    """Peak memory; the seconds are those of the process that started this one."""
    peak: list[int] = [0]
    threading.Thread(target=watch, args=[peak], daemon=True).start()
    WAYS[name](folder)
    return {"peak_mb": round(peak[0] / 1024, 1), "cpu_seconds": round(processor(), 2)}


def prepare(folder: Path, images: int) -> None:
    """Write the images and the encoder."""
    import torch

    from eqssl.config.params import Params
    from eqssl.encoders import build_encoder, save_encoder

    (folder / "images").mkdir()
    for number in range(images):
        (folder / f"images/{number:05d}.jpg").write_bytes(photograph(number, SIDE))
    shape = (3, ENCODED, ENCODED)
    random = torch.Generator().manual_seed(0)
    encoder = build_encoder(Params.load().encoder, "C4", shape, [0.5] * 3, [0.25] * 3, random)
    save_encoder(encoder.eval(), folder / "encoder", {})


def difference(folder: Path) -> float:
    """The largest difference of the two ways. JPEG decoders differ by a rounding."""
    import pandas

    found = [
        pandas.read_parquet(folder / f"{name}.parquet").sort_values("name") for name in ("ours", "plain")
    ]
    first, second = (np.stack(table["invariant"].to_numpy()) for table in found)
    return float(np.abs(first - second).max())


def run(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Both ways in turns."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for number in range(rounds):
        for name in WAYS if number % 2 else reversed(WAYS):
            started = time.perf_counter()
            command = [sys.executable, __file__, "--one", name, "--folder", str(folder)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            seconds = time.perf_counter() - started
            found[name].append({"seconds": round(seconds, 2), **json.loads(output.splitlines()[-1])})
    return [
        {
            "way": name,
            "seconds": min(row["seconds"] for row in rows),
            "median_seconds": statistics.median(row["seconds"] for row in rows),
            "cpu_seconds": min(row["cpu_seconds"] for row in rows),
            "peak_mb": max(row["peak_mb"] for row in rows),
        }
        for name, rows in found.items()
    ]


def main() -> None:
    """Write the images, run both ways, print and store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.folder)))
        return
    from eqssl.machine.provenance import record

    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), options.images)
        rows = run(Path(name), options.rounds)
        apart = difference(Path(name))
    fast, slow = (row["seconds"] for row in rows)
    result = {
        "images": options.images,
        "side": SIDE,
        "encoded": ENCODED,
        "rounds": options.rounds,
        "load": os.getloadavg()[0],
        "rows": rows,
        "ratio": round(slow / fast, 2),
        "largest_difference": apart,
        "versions": record(),
    }
    for row in rows:
        print(*(f"{key} {value}" for key, value in row.items()), sep=", ")
    print(f"the loop takes {result['ratio']} times as long; largest difference {apart:.1e}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
