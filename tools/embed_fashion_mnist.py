"""Make the embedded sample of Fashion-MNIST: `python tools/embed_fashion_mnist.py [FOLDER]`.

FOLDER holds the four IDX files of the whole set; without it, those of Debian's package dataset-fashion-mnist
are read. The first 1,000 training images of each class are kept, in the publisher's order, with their numbers
in the whole training split; the test split is kept whole. Equal input gives equal files.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
import sys

import numpy as np

from eqssl.config.sources import FashionMnistSettings
from eqssl.data.sources.fashion_mnist import CLASSES, EMBEDDED, NUMBERS, FashionMnist
from eqssl.machine.files import atomic

PER_CLASS = 1000
TYPE_CODES = {np.dtype("uint8"): 0x08, np.dtype("int32"): 0x0C}


def idx_bytes(array: np.ndarray) -> bytes:
    """An array as an IDX file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, TYPE_CODES[array.dtype], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def main() -> None:
    """Write the five files into the package and print the SHA-256 of their uncompressed bytes."""
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    source = FashionMnist(FashionMnistSettings(source="fashion_mnist", path=folder, turned=False))
    arrays = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        samples = [sample for sample in source.samples() if sample.split == split]
        arrays[f"{prefix}-images-idx3-ubyte"] = np.stack([sample.image[:, :, 0] for sample in samples])
        arrays[f"{prefix}-labels-idx1-ubyte"] = np.array([sample.label for sample in samples], np.uint8)
    labels = arrays["train-labels-idx1-ubyte"]
    kept = [np.flatnonzero(labels == label)[:PER_CLASS] for label in range(len(CLASSES))]
    numbers = np.sort(np.concatenate(kept))
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        arrays[name] = arrays[name][numbers]
    arrays[NUMBERS] = numbers.astype(np.int32)
    for name, array in arrays.items():
        content = idx_bytes(array)
        with atomic(EMBEDDED / f"{name}.xz") as temporary:
            temporary.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
        print(f"{name}: {array.shape}, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
