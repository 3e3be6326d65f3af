"""A small source in memory, the job that shards it, and an independent reader of the shards."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from eqssl.config.jobs import ShardJob
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SourceSettings
from eqssl.data.sources.base import Sample


class TinySource:
    licence = "CC0"
    origin = "made up"

    def __init__(self, samples, classes=("cat", "dog"), notes=()):
        self.classes, self.notes = tuple(classes), tuple(notes)
        self._samples = list(samples)

    def count(self):
        return len(self._samples)

    def samples(self):
        return iter(self._samples)


def samples(train=40, test=12, classes=2, shape=(10, 10, 1), seed=0):
    random = np.random.default_rng(seed)
    return [
        Sample(f"{split}-{i:03d}", random.integers(1, 256, shape, dtype=np.uint8), i % classes, split, i)
        for split, count in (("train", train), ("test", test))
        for i in range(count)
    ]


def job(count=2, validation=0.2, seed=0, test=0.2, most_shared=1.0, **data):
    return ShardJob(
        dataset="tiny",
        data=SourceSettings.read({"source": "fashion_mnist_sample", **data}),
        shards=ShardSettings(
            count=count, validation=validation, test=test, most_shared=most_shared, seed=seed
        ),
    )


def kept(size):
    """The inscribed disc, pixel by pixel."""
    mask = np.zeros((size, size), bool)
    for r in range(size):
        for c in range(size):
            mask[r, c] = (r - (size - 1) / 2) ** 2 + (c - (size - 1) / 2) ** 2 <= (size / 2) ** 2
    return mask


def images_of(folder):
    """Every stored image by its key, read by tarfile and Pillow or NumPy alone."""
    found = {}
    for path in sorted(Path(folder).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                content = io.BytesIO(tar.extractfile(member).read())
                if ending != "cls":
                    read = np.load if ending == "npy" else Image.open
                    found[key] = np.asarray(read(content))
    return found
