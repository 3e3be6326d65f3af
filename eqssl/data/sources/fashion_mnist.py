"""Fashion-MNIST: gray images of ten kinds of clothing (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

from eqssl.config.sources import FashionMnistSampleSettings, FashionMnistSettings, SplitName
from eqssl.data.sources.arrays.idx import read_idx
from eqssl.data.sources.base import Sample

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
LICENCE = "MIT, Copyright (c) 2017 Zalando SE"
EMBEDDED = Path(__file__).parents[1] / "embedded" / "fashion_mnist"
# where the package dataset-fashion-mnist of Debian and Ubuntu puts the whole set
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

_FILES: dict[SplitName, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# the position of each embedded training image in the whole training split
NUMBERS = "train-numbers-idx1-int"

# SHA-256 of the uncompressed IDX files
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
EMBEDDED_SHA256 = {
    **SHA256,
    "train-images-idx3-ubyte": "d33512cfdc636a0d8972818e6659995be209a88891df7fa2109d7895922c8985",
    "train-labels-idx1-ubyte": "620cb8e3b9348037c5ff9a07b02d773ab165330e072dfd19e0d21c59f8042dcf",
    NUMBERS: "e1f36cc5c58c6175bf306487e45deaf2ba60071c390509d1861485b90ffc35f7",
}


class _Arrays:
    """Images and labels of both splits, in memory; the whole data set takes 55 MB."""

    classes = CLASSES
    licence = LICENCE
    origin: str
    notes = ()

    def __init__(self) -> None:
        self._splits: dict[
            SplitName,
            tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"], Int[np.ndarray, " n"]],
        ] = {}

    def count(self) -> int:
        """Number of images."""
        return sum(len(labels) for _, labels, _ in self._splits.values())

    def samples(self) -> Iterator[Sample]:
        """The images of both splits, in the publisher's order."""
        for split, columns in self._splits.items():
            for image, label, number in zip(*columns, strict=True):
                yield Sample(f"{split}-{number:05d}", image[:, :, None], int(label), split, int(number))


class FashionMnist(_Arrays):
    """All 60,000 training and 10,000 test images, from `settings.path` or from Debian's package.

    Raises:
        ValueError: a file is in neither place, or is not the published one.
    """

    origin = "Fashion-MNIST, all 60,000 training and 10,000 test images"
    suffixes: ClassVar[tuple[str, ...]] = ("", ".gz", ".xz")

    def __init__(self, settings: FashionMnistSettings) -> None:
        super().__init__()
        folders = [*([Path(settings.path)] if settings.path else []), DEBIAN]
        for split, (images, labels) in _FILES.items():
            pictures, answers = (
                read_idx(self._find(name, folders), SHA256[name]) for name in (images, labels)
            )
            self._splits[split] = (pictures, answers, np.arange(len(answers)))

    def _find(self, name: str, folders: list[Path]) -> Path:
        for folder in folders:
            for suffix in self.suffixes:
                path = folder / (name + suffix)
                if path.is_file():
                    return path
        raise ValueError(
            f"{name} (plain, .gz or .xz) is not in {' nor in '.join(map(str, folders))}: install the package "
            "dataset-fashion-mnist of Debian or Ubuntu, or give as `path` a folder with the four IDX files"
        )


class FashionMnistSample(_Arrays):
    """The sample that comes with eqssl: the first 1,000 training images of each class, and all test images.

    The images have the same keys as in the whole data set. `tools/embed_fashion_mnist.py` wrote the files.

    Raises:
        ValueError: a file is damaged.
    """

    origin = "Fashion-MNIST, the first 1,000 training images of each class and all 10,000 test images"

    def __init__(self, settings: FashionMnistSampleSettings) -> None:
        super().__init__()
        for split, (images, labels) in _FILES.items():
            pictures, answers = self._read(images), self._read(labels)
            numbers = self._read(NUMBERS) if split == "train" else np.arange(len(answers))
            self._splits[split] = (pictures, answers, numbers)

    @staticmethod
    def _read(name: str) -> np.ndarray:
        return read_idx(EMBEDDED / f"{name}.xz", EMBEDDED_SHA256[name])
