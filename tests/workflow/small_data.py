"""Write a small Parquet data set of real images: `python tests/workflow/small_data.py FOLDER`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from eqssl.config.sources import SourceSettings
from eqssl.data.sources import open_source

PER_CLASS = {"train": 24, "test": 12}


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = open_source(SourceSettings.read({"source": "fashion_mnist_sample", "turned": False}))
    for split, limit in PER_CLASS.items():
        counts = dict.fromkeys(range(len(source.classes)), 0)
        images, labels = [], []
        for sample in source.samples():
            if sample.split == split and counts[sample.label] < limit:
                counts[sample.label] += 1
                content = io.BytesIO()
                Image.fromarray(sample.image[:, :, 0]).save(content, "PNG")
                images.append(content.getvalue())
                labels.append(sample.label)
        pq.write_table(pa.table({"image": images, "label": labels}), folder / f"{split}.parquet")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
