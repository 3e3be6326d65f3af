"""Cells with made-up features in real feature files, and a small data set in real shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from eqssl.config.evaluation import ProbeSettings
from eqssl.config.jobs import ProbeJob, ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.parquet import feature_writer
from eqssl.evaluation.turned import kept, moves
from eqssl.machine.records import write_record
from eqssl.symmetry import group

CLASSES = ("ant", "bee", "cat")
JOB = {"dataset": "insects", "pretext": "mine"}
RETRIEVAL = {"queries": 90, "mrr": 0.75, "hit_rate_1": 0.5, "hit_rate_5": 1.0}


def information(**changes) -> FeatureInfo:
    values = {
        "encoder": "e" * 64,
        "data": "d" * 64,
        "group": "C4",
        "orders": (4, 4),
        "fields": (5, 3),
        "classes": CLASSES,
        "code": "c" * 12,
    }
    return FeatureInfo(**{**values, **changes})


def columns(info: FeatureInfo, labels: np.ndarray, noise: float, seed: int) -> dict[str, np.ndarray]:
    """Features around one point per class, and collinear, as those of networks are."""
    points = np.random.default_rng(99).standard_normal((max(1, len(info.classes)), max(info.widths.values())))
    mixing = np.random.default_rng(98).standard_normal((points.shape[1],) * 2) / 4 + 1
    drawn = np.random.default_rng(seed).standard_normal((len(labels), points.shape[1]))
    values = ((points[labels] + noise * drawn) @ mixing).astype(np.float32)
    return {name: values[:, :width] for name, width in info.widths.items()}


def probe_settings(**changes) -> ProbeSettings:
    values = {
        "shares": (1, 10, 100),
        "draws": 3,
        "strengths": (1e-6, 1.0, 13),
        "tolerance": 1e-4,
        "iterations": 1000,
        "neighbours": 5,
        "temperature": 0.07,
        "bootstrap": 200,
        "seed": 0,
    }
    return ProbeSettings(**{**values, **changes})


def probe_job(**changes) -> ProbeJob:
    return ProbeJob(probe=probe_settings(**changes))


def write_cell(
    folder: Path, noise: float = 1.5, counts=(300, 60, 90), seed: int = 0, labels_of=None, turned=0, **changes
) -> tuple[Path, Path]:
    """Write a cell as earlier steps leave it; gives the folders of the evaluation and of the encoder.

    `labels_of` gives the labels that are written from the split and the classes that the features are of.
    `turned` is how many test images are moved in every way.
    """
    info = information(**changes)
    evaluation = folder / "eval"
    for number, (split, count) in enumerate(zip(("train", "val", "test"), counts, strict=True)):
        labels = np.arange(count) % max(1, len(info.classes))
        told = labels if labels_of is None else labels_of(split, labels)
        keys = [f"{split}-{i:04d}" for i in range(count)]
        with feature_writer(evaluation / "features" / f"{split}.parquet", info) as writer:
            writer.write(split, "stored", keys, told, columns(info, labels, noise, seed + number))
            if split == "test":
                random = np.random.default_rng(seed)
                worse = columns(info, labels, 2 * noise, seed + number)
                moved = {"elements": random.integers(8, size=count)}
                writer.write(split, "grid", keys, told, columns(info, labels, noise, seed + 7), **moved)
                writer.write(split, "angle", keys, told, worse, angles=360 * random.random(count))
    write_turned(evaluation / "features/turned.parquet", info, turned, noise)
    encoder = {
        "dataset": "insects",
        "group": info.group,
        "pretext": "mine",
        "seed": 0,
        "parameters": 10,
        "flops": 20,
        "weights_sha256": info.encoder,
        "job": JOB,
    }
    seal = write_record(folder / "encoder.json", encoder)
    write_record(folder / "pretrain.json", {"epochs": 2, "seconds": 1.5}, made_of={"encoder": seal})
    rows = dict(zip(("train", "val", "test", "turned"), (*counts, turned), strict=True))
    files = [f"features/{split}.parquet" for split in rows]
    measured = {"error": 1e-7, "rows": rows, "retrieval": RETRIEVAL}
    write_record(evaluation / "equivariance.json", measured, files, {"encoder": seal})
    return evaluation, folder


def write_turned(path: Path, info: FeatureInfo, images: int, noise: float = 1.5, mask="disc") -> None:
    """Write made-up features of moved test images; those of the unmoved ones have half of the noise."""
    labels = np.arange(images) % max(1, len(info.classes))
    keys = [f"test-{i:04d}" for i in range(images)]
    with feature_writer(path, kept(info)) as writer:
        for number, (view, element, degrees) in enumerate(moves(mask) if images else ()):
            values = columns(kept(info), labels, noise * (1 if number else 0.5), 50 + number)
            moved = (
                {"angles": np.full(images, degrees)}
                if view == "angle"
                else {"elements": np.full(images, element)}
            )
            writer.write("test", view, keys, labels, values, **moved)


class Squares:
    """A source of noisy 12 x 12 pictures of three kinds, none with a symmetry."""

    licence = "CC0"
    origin = "drawn by a test"
    classes = CLASSES

    def __init__(self, counts) -> None:
        self.counts = counts

    notes = ()

    def count(self):
        return sum(self.counts.values())

    def samples(self):
        for split, count in self.counts.items():
            random = np.random.default_rng(len(split))
            for i in range(count):
                image = random.integers(0, 90, (12, 12, 1), dtype=np.uint8)
                label = i % 3
                image[2:5, 5 : 7 + label] = 200
                image[6 + label, 3:6] = 120
                yield Sample(f"{split}-{i:03d}", image, label, split, i)


def write_shards(folder: Path, train: int = 60, test: int = 20) -> Path:
    job = ShardJob(
        dataset="squares",
        data=SourceSettings.read({"source": "fashion_mnist_sample", "turned": False}),
        shards=ShardSettings(count=2, validation=0.2, seed=0),
    )
    write_source(Squares({"train": train, "test": test}), job, folder)
    return folder


class AveragingEncoder(nn.Module):
    """Equivariant by construction, f(x)[h] = base(h^-1 x); or plain, as the negative control."""

    def __init__(self, name: str, fields: int = 6, exact: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.group_name, self.exact = name, exact
        self.first = nn.Parameter(torch.randn(144, fields, generator=generator) / 12)
        self.second = nn.Parameter(torch.randn(fields, 2 * fields, generator=generator))
        self.requires_grad_(False)
        self.mean, self.std, self.image_shape = (0.3,), (0.25,), (1, 12, 12)
        self.mask = "disc"

    @property
    def group(self):
        return group(self.group_name)

    @property
    def input_group(self):
        return self.group

    @property
    def stage_groups(self):
        return [self.group_name, self.group_name]

    def stages(self, images):
        G = self.group
        moved = [G.act(images, ~h) if self.exact else images * (1 + i) for i, h in enumerate(G.elements)]
        first = torch.stack([torch.relu(x.flatten(1) @ self.first) for x in moved], 2)
        return [first, torch.relu(torch.einsum("bfg,fk->bkg", first, self.second))]

    def forward(self, images):
        return self.stages(images)[-1]

    def pool(self, features):
        return features.mean(2)
