"""Shards of image files of any kind, written by webdataset and described by index.json."""

import numpy as np
from webdataset import TarWriter

from eqssl.data.shards.index import Columns, ShardIndex, Tar
from eqssl.data.shards.ustar import members
from eqssl.machine.files import sha256


def write_files(folder, files, shape, pixels="uint8", tars=2, splits=("train", "val", "test")):
    """Write the same image files as each split.

    Args:
        folder: where to.
        files: (ending, bytes, label) of each; label None writes no member for it.
        shape: (c, h, w) for index.json.
        pixels: type of the pixels for index.json.
        tars: of each split.
        splits: names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described, columns = [], {}
    for split in splits:
        rows = []
        for number, part in enumerate(np.array_split(np.arange(len(files)), tars)):
            path = folder / f"{split}-{number:05d}.tar"
            with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
                for i in part:
                    ending, content, label = files[i]
                    more = {} if label is None else {"cls": str(label).encode()}
                    tar.write({"__key__": f"{split}-{i:03d}", ending: content, **more})
            places = {member.name: member for member in members(path)}
            for i in part:
                ending, _, label = files[i]
                place = places[f"{split}-{i:03d}.{ending}"]
                stated = -1 if label is None else label
                rows.append((f"{split}-{i:03d}", stated, len(described), place.offset, place.size))
            described.append(
                Tar(
                    name=path.name,
                    split=split,
                    sha256=sha256(path),
                    count=len(part),
                    bytes=path.stat().st_size,
                )
            )
        names = ("keys", "labels", "tar", "offset", "size")
        columns[split] = Columns(**dict(zip(names, zip(*rows, strict=True), strict=True)))
    channels = shape[0]
    ShardIndex(
        dataset="files",
        origin="made up",
        licence="CC0",
        classes=("a", "b"),
        image_shape=shape,
        mean=(0.5,) * channels,
        std=(0.2,) * channels,
        pixels=pixels,
        version="0",
        job={},
        tars=tuple(described),
        splits=columns,
    ).write(folder)
    return folder
