"""A small data set in shards, a job for it, and a small pretext that uses everything a pretext may use."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eqssl.config.jobs import PretrainJob, ShardJob
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.config.pretraining import PretrainSettings
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.loading.batches import Batches, load_split
from eqssl.data.shards.writing import write_source
from eqssl.data.sources.base import Sample
from eqssl.pretexts.base import Outcome, Pretext
from eqssl.training.loop import Trainer

ROOT = Path(__file__).parents[2]
IMAGES = {"train": 200, "test": 12}


class Pictures:
    """A source of 12 x 12 pictures in noise: a bright bar, or a bright square."""

    licence = "CC0"
    origin = "drawn by a test"
    classes = ("bar", "square")
    notes = ()

    def count(self):
        return sum(IMAGES.values())

    def samples(self):
        for split, count in IMAGES.items():
            numbers = np.random.default_rng(len(split))
            for i in range(count):
                image = numbers.integers(0, 120, (12, 12, 1), dtype=np.uint8)
                if i % 2:
                    image[3:9, 3:9] = 220
                else:
                    image[2:10, 5:7] = 220
                yield Sample(f"{split}-{i:03d}", image, i % 2, split, i)


SHARD_JOB = ShardJob(
    dataset="pictures",
    data=SourceSettings.read({"source": "fashion_mnist_sample", "turned": False}),
    shards=ShardSettings(count=2, validation=0.2, seed=0),
)


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "shards"
    write_source(Pictures(), SHARD_JOB, folder)
    return folder


@pytest.fixture(autouse=True)
def scratch_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture
def optimisation() -> Callable[..., PretrainSettings]:
    def make(**changes) -> PretrainSettings:
        values = {
            "epochs": 3,
            "batch_size": 32,
            "optimiser": "adamw",
            "learning_rate": 0.003,
            "weight_decay": 0.0001,
            "warmup_epochs": 0.5,
            "precision": "auto",
            "compile": False,
            "threads": 1,
        }
        return PretrainSettings(**{**values, **changes})

    return make


@pytest.fixture
def job(params: Params, optimisation) -> Callable[..., PretrainJob]:
    def make(seed=0, group="C4", task=None, **changes) -> PretrainJob:
        return PretrainJob(
            dataset="pictures",
            group=group,
            pretext="mine",
            seed=seed,
            data=SHARD_JOB.digest,
            encoder=params.encoder.model_copy(update={"width": (4, 8)}),
            views=params.views,
            pretrain=optimisation(**changes),
            task=PretextSettings.read(task or {"task": "supervised"}),
        )

    return make


class Guess(Pretext):
    """Classifies noisy images, with batch norm, dropout, the views' generator and one extra number."""

    def __init__(self, scale=1.0):
        torch.nn.Module.__init__(self)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(1, 4, 3),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.Flatten(),
                nn.Dropout(0.2),
                nn.Linear(400, 2),
            )
        self.layers.to(memory_format=torch.channels_last)
        self.scale = scale
        self.steps = 0

    def forward(self, step):
        self.steps += 1
        x = step.images / 255 + 0.1 * torch.randn(step.images.shape, generator=step.generator)
        logits = self.layers(x)
        accuracy = (logits.detach().argmax(1) == step.labels).float().mean()
        return Outcome(self.scale * F.cross_entropy(logits.float(), step.labels), {"accuracy": accuracy})


@pytest.fixture
def trainer(shards, optimisation) -> Callable[..., Trainer]:
    def make(pretext=None, **changes) -> Trainer:
        settings = optimisation(**changes)
        batches = Batches(load_split(shards, "train"), settings.batch_size, 0, torch.device("cpu"))
        generator = torch.Generator().manual_seed(1)
        return Trainer(pretext or Guess(), batches, settings, generator, torch.float32, "pictures/C4/mine/s0")

    return make


@pytest.fixture
def start() -> Callable[..., subprocess.Popen]:
    """Start a Python program in a process of its own; it is killed after the test, or after a minute."""
    processes, timers = [], []

    def run(program: str, *arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=pipe, stderr=pipe, stdin=pipe)
        processes.append(process)
        timers.append(threading.Timer(60, process.kill))
        timers[-1].start()
        return process

    yield run
    for process, timer in zip(processes, timers, strict=True):
        timer.cancel()
        process.kill()
        process.communicate()
