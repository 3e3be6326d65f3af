"""From images without labels to the report, each step as the commands run it, in one process."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from quick_cell import cell
from rich.console import Console
from tiny_source import TinySource

from eqssl.config.jobs import ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.evaluation.parquet import read_features
from eqssl.evaluation.summary import summarise
from eqssl.report import print_table, write_report

QUARTERS = {"task": "orientation", "head": "equivariant", "labels": "rotations", "hidden": 8}
CONTRAST = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 8,
    "embedding": 8,
}


def photographs(count=60, channels=3):
    """Images of noise with a bright bar, so that they have an up, and no labels."""
    random = np.random.default_rng(channels)
    for i in range(count):
        image = random.integers(0, 90, (16, 16, channels), dtype=np.uint8)
        image[1:4, 2:14] += 100
        yield Sample(f"p{i:03d}", image, None, "test" if i % 4 == 0 else "train", i, name=f"photo {i}.png")


def shard(folder, mask, channels=3):
    data = SourceSettings.read({"source": "fashion_mnist_sample", "turned": False, "mask": mask})
    job = ShardJob(dataset="photographs", data=data, shards=ShardSettings(count=1, validation=0.2, seed=0))
    write_source(TinySource(photographs(channels=channels), classes=()), job, folder)
    return job


@pytest.mark.parametrize("mask", ["disc", "none"])
def test_images_without_labels_lead_to_tables_and_a_report_with_pictures(tmp_path, params, mask):
    job = shard(tmp_path / "shards", mask)
    views = ("stored", "grid", "angle") if mask == "disc" else ("stored", "grid")
    cells = [
        cell(tmp_path / name, params, tmp_path / "shards", job, task, views, name)
        for name, task in {
            "quarters": QUARTERS,
            "contrast": CONTRAST,
            "untrained": {"task": "random"},
        }.items()
    ]
    for path, _ in cells:
        metrics = json.loads(path.read_text())
        assert metrics["details"]["probes"] == "no image has a label"
        assert metrics["equivariance_error"] < 1e-5
        assert 0 < metrics["retrieval_mrr"] <= 1
        assert ("pretext_accuracy" in metrics) == (metrics["pretext"] == "quarters")
        assert bool(metrics["details"]["equivariance"]["angles"]) == (mask == "disc")
        assert (path.parent / "predictions.csv").read_text() == "actual,predicted\n"
        assert len(metrics["details"]["neighbours"]) == 6
        # 15 test images under 8 elements, and 16 angles where corners are cut off
        moved = read_features(path.parents[1] / "e/features/turned.parquet", []).views.tolist()
        assert moved == ["grid"] * 15 * 8 + (["angle"] * 15 * 16 if mask == "disc" else [])
        assert (
            "turn of pairs: only 15 turned images, at least 40 are needed" in metrics["details"]["left_out"]
        )
    summarise([path for path, _ in cells], tmp_path / "grid.csv", tmp_path / "grid.json")
    with (tmp_path / "grid.csv").open() as file:
        assert [row["retrieval_hit_1"] != "" for row in csv.DictReader(file)] == [True] * 3
    console = Console(width=100, record=True)
    with console.capture() as capture:
        print_table(tmp_path / "grid.csv", console)
    assert "MRR" in capture.get()
    write_report(cells, tmp_path / "index.html", {}, [tmp_path / "shards"])
    text = (tmp_path / "index.html").read_text()
    pictures = re.findall(r'<img src="data:image/webp;base64,[^"]+" [^>]*alt="([^"]*)"', text)
    assert sum("nearest training images" in alt for alt in pictures) == 3
    assert sum("filters of the first layer" in alt for alt in pictures) == 3
    assert len(pictures) == 6
    assert re.search(r"<li>(photo \d+\.png|p\d{3}): ", text)
    assert "No figure" not in text
    assert f"<dd>{mask}</dd>" in text


def test_learning_from_labels_is_refused_before_any_work(tmp_path, params):
    job = shard(tmp_path / "shards", "disc")
    with pytest.raises(
        ValueError, match=r"data set photographs: no training image has a label, but pretext 's'"
    ):
        cell(tmp_path / "s", params, tmp_path / "shards", job, {"task": "supervised"}, ("stored",), "s")
    assert not (tmp_path / "s").exists()
