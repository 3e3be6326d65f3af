"""Folders of image files, and what a source says of them."""

import io

import numpy as np
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source

RANDOM = np.random.default_rng(0)


def opened(path, **more):
    return open_source(SourceSettings.read({"source": "folder", "path": str(path), **more}))


def folder(root, *names):
    """An image of its own for each name; what was written, by name."""
    written = {}
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RANDOM.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, None if path.suffix else "PNG")
        written[name] = pixels
    return written


def pixels_of(sample):
    assert isinstance(sample.image, bytes)
    return np.asarray(Image.open(io.BytesIO(sample.image)))


def said(source):
    """(label's name, split, group) of each image, by its name."""
    return {
        s.name: (None if s.label is None else source.classes[s.label], s.split, s.group)
        for s in source.samples()
    }
