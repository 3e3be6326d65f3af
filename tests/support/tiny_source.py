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
    notes = ()

    def __init__(self, samples, classes=("cat", "dog")):
        self.classes = tuple(classes)
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


def job(count=2, validation=0.2, seed=0, turned=False, size=None):
    return ShardJob(
        dataset="tiny",
        data=SourceSettings.read({"source": "fashion_mnist_sample", "turned": turned, "size": size}),
        shards=ShardSettings(count=count, validation=validation, seed=seed),
    )


def kept(size):
    """The inscribed disc, pixel by pixel."""
    mask = np.zeros((size, size), bool)
    for r in range(size):
        for c in range(size):
            mask[r, c] = (r - (size - 1) / 2) ** 2 + (c - (size - 1) / 2) ** 2 <= (size / 2) ** 2
    return mask


def images_of(folder):
    """Every stored image by its key, read by tarfile and Pillow alone."""
    found = {}
    for path in sorted(Path(folder).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".png"):
                    content = io.BytesIO(tar.extractfile(member).read())
                    found[member.name.removesuffix(".png")] = np.asarray(Image.open(content))
    return found
