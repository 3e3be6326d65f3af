"""The default probe against one fit of scikit-learn at the chosen strength, and the memory of the ridge pass.

    python bench/probes.py [--images N] [--width W] [--rows N] [--features F] [--rounds N] [--json FILE]

Synthetic features of ten classes are like those of networks: a few directions hold most of their variance,
and so they are nearly collinear. `easy` and `hard` differ by how far classes are apart. A round fits the
default probe with all labels (path, choice and final fit), and then LogisticRegression at the strength that
it chose, on training and validation images, as a person would. Both are on one thread, and seconds are of the
processor.

The ridge classifier reads training, validation and test features once from Parquet files, in a process of its
own whose peak memory is told. With fewer rows than 1.28 million, row groups have the same size as with all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from eqssl.config.params import Params
from eqssl.evaluation.classifiers.base import Rows, strengths
from eqssl.evaluation.classifiers.logistic import choose
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.parquet import feature_writer
from eqssl.evaluation.ridge import ridge_accuracies
from eqssl.evaluation.standardise import Standardiser

CLASSES, INNER, BLOCK = 10, 64, 4096
ORDER = 64
"""One in so many numbers of the regular feature is in the invariant one, which the files have too."""
NOISE = {"easy": 1.5, "hard": 2.5}
SPLITS = ("train", "val", "test")


def features(count: int, width: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rectified mixtures of directions with falling variance around one point for each class."""
    fixed, random = np.random.default_rng(99), np.random.default_rng(seed)
    scale = np.geomspace(1, 0.1, INNER)
    points = fixed.standard_normal((CLASSES, INNER)) * scale
    mixing = (fixed.standard_normal((INNER, width)) / np.sqrt(INNER)).astype(np.float32)
    labels = random.integers(CLASSES, size=count)
    inner = points[labels] + noise * scale * random.standard_normal((count, INNER))
    values = np.maximum(inner.astype(np.float32) @ mixing, 0)
    return values + 0.01 * random.standard_normal(values.shape, np.float32), labels


def seconds(step: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of a step, and what it gives."""
    started = time.process_time()
    found = step()
    return time.process_time() - started, found


def probe(images: int, width: int, noise: float, rounds: int) -> dict[str, Any]:
    """Seconds of both, in turns, and their ratio in each round."""
    settings = Params.load(Path(__file__).parents[1] / "params.yaml").probe
    values, labels = features(images + images // 6, width, noise, 0)
    scaler = Standardiser.fit(values[:images])
    train, held = (Rows(scaler(values[part]), labels[part]) for part in (slice(images), slice(images, None)))
    del values
    own, one, ratios = [], [], []
    for _ in range(rounds):
        took, chosen = seconds(lambda: choose(train, held, settings, refit=True))
        own.append(took)
        both, strength = train.joined(held), chosen.record["strength"]
        c = 1 / (strength * len(both.labels))
        took, single = seconds(lambda: LogisticRegression(C=c, max_iter=1000).fit(*both))  # noqa: B023
        one.append(took)
        ratios.append(own[-1] / took)
        if not np.array_equal(single.coef_, chosen.probe.coef_):
            raise RuntimeError("the probe is not scikit-learn's")
    return {
        "images": images,
        "width": width,
        "accuracy": round(chosen.record["accuracy"], 4),
        "strength": strength,
        "iterations_of_path": chosen.record["path"]["iterations"],
        "iterations_of_one_fit": int(single.n_iter_[0]),
        "seconds": round(statistics.median(own), 2),
        "seconds_of_one_fit": round(statistics.median(one), 2),
        "ratio": round(statistics.median(ratios), 2),
    }


def peak_megabytes() -> int:
    """Most memory that this process has had, without what it had as a fork of another."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def write(folder: Path, rows: int, width: int) -> dict[str, Path]:
    """Feature files of three splits, `rows` of them for training, block by block."""
    names = tuple(str(label) for label in range(CLASSES))
    info = FeatureInfo("e" * 64, "d" * 64, "SO2", (ORDER,), (width // ORDER,), names, "c" * 12)
    files = {}
    for split, count in zip(SPLITS, (rows, rows // 10, rows // 20), strict=True):
        files[split] = folder / f"{split}.parquet"
        with feature_writer(files[split], info) as writer:
            for start in range(0, count, BLOCK):
                size = min(BLOCK, count - start)
                values, labels = features(size, width, 2.0, 7 * start + len(split))
                keys = [f"{split}-{start + i}" for i in range(size)]
                columns = {"invariant": values[:, ::ORDER], "regular": values}
                writer.write(split, "stored", keys, labels, columns)
    return files


def ridge(folder: Path) -> dict[str, Any]:
    """Peak memory and seconds of the one pass, in this process."""
    settings = Params.load(Path(__file__).parents[1] / "params.yaml").probe
    files = {split: folder / f"{split}.parquet" for split in SPLITS}
    before = peak_megabytes()
    with threadpool_limits(1):
        took, found = seconds(lambda: ridge_accuracies(files, "regular", CLASSES, strengths(settings)))
    return {
        "megabytes": peak_megabytes(),
        "megabytes_of_libraries": before,
        "seconds": round(took, 1),
        "accuracy": round(found["test"]["stored"], 4),
    }


def ridge_apart(rows: int, width: int) -> dict[str, Any]:
    """The same in a process of its own, on files of `rows` rows."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), rows, width)
        command = [sys.executable, __file__, "--ridge", name]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"rows": rows, "width": width, **json.loads(answer.stdout.splitlines()[-1])}


def hardware() -> str:
    """Name of the processor and number of its cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores, one thread"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rows", type=int, default=1_280_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ridge", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ridge is not None:
        print(json.dumps(ridge(options.ridge)))
        return
    with threadpool_limits(1):
        probes = {
            name: probe(options.images, options.width, noise, options.rounds) for name, noise in NOISE.items()
        }
    found = {"hardware": hardware(), "probe": probes, "ridge": ridge_apart(options.rows, options.features)}
    print(json.dumps(found, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
