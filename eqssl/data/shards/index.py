"""index.json: the contents of a folder of shards, and the position of every image."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PrivateAttr, ValidationError, model_validator

from eqssl.config.errors import explain
from eqssl.config.regular_files import read_bytes
from eqssl.config.settings import Settings
from eqssl.config.sources import SplitName
from eqssl.machine.files import write_text
from eqssl.machine.records import SEAL, check_seal, seal_of

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
SPLIT_WORDS: Mapping[SplitName, str] = {"train": "training", "val": "validation", "test": "test"}
"""What stands before `images` in a sentence."""
INDEX_FILE = "index.json"
UNLABELLED = -1
_OPTIONAL = ("names", "groups")
LARGEST = 2**29
"""Bytes of an index.json; five million images need no more."""


class Tar(Settings):
    """One tar: file name, split, SHA-256, number of images, size in bytes."""

    name: str
    split: SplitName
    sha256: str
    count: int
    bytes: int

    def wrong_size(self, size: int) -> str | None:
        """What is wrong with a file of so many bytes in its place; None if nothing is."""
        if size == self.bytes:
            return None
        state = "is truncated" if size < self.bytes else "is too long"
        return f"{state}: {size} bytes, index.json states {self.bytes}"


class Columns(Settings):
    """The images of a split in stored order, one entry per image.

    Attributes:
        keys: names.
        labels: indices into the classes; -1 for images without a label.
        tar: index into the list of tars.
        offset, size: position and length of the image file in the tar, in bytes.
        names: what the source calls the images, such as their paths; no entry if it has no such names.
        groups: patient, slide or the like of each image; no entry if there are no groups.
    """

    keys: tuple[str, ...]
    labels: tuple[int, ...]
    tar: tuple[int, ...]
    offset: tuple[int, ...]
    size: tuple[int, ...]
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)


class ShardIndex(Settings):
    """The contents of index.json.

    Attributes:
        schema_version: version of the layout of this file.
        dataset: name of the data set in params.yaml.
        origin, licence: of the images, in words.
        classes: names, in the order of the labels; none if no image has a label.
        image_shape: (channels, height, width) of every image.
        sizes: `WIDTHxHEIGHT` at the source -> number of images, frequent ones first.
        mean, std: per channel, over pixels of the training images inside the mask, scaled to [0, 1].
        mask: `disc` if everything outside of the inscribed disc is 0, else `none`.
        pixels: type of the stored values.
        range: intensities that became 0 and the largest stored value; None if they were not changed.
        notes: a sentence for each thing that was guessed, decided or left out.
        version: version of eqssl that wrote the shards.
        job: the `ShardJob` that made them, as plain values.
        tars: all tars; `Columns.tar` is an index into them.
        splits: the images of "train", "val" and "test".
        files, made_of, seal: the SHA-256 of each tar, the version of the files that the images come from, and
            the SHA-256 of all other entries, since index.json is the record of its step; see
            `eqssl.machine.records` and `eqssl.machine.raw_data`.
    """

    schema_version: Literal[3] = 3
    dataset: str
    origin: str
    licence: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    sizes: Mapping[str, int] = {}
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mask: Literal["disc", "none"] = "disc"
    pixels: Literal["uint8", "uint16"] = "uint8"
    range: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    version: str
    job: dict[str, Any]
    tars: tuple[Tar, ...]
    splits: Mapping[SplitName, Columns]
    files: Mapping[str, str] = {}
    made_of: Mapping[str, str] = {}
    seal: str = ""
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder that the index was loaded from, which also holds the tars."""
        return self._folder

    @property
    def digest(self) -> str:
        """The seal, which covers the SHA-256 of each tar, so that it identifies all images."""
        return self.seal

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if set(self.splits) != set(SPLITS):
            raise ValueError(f"splits: given {sorted(self.splits)}, allowed: {', '.join(SPLITS)}")
        counts: Counter[int] = Counter()
        for name, columns in self.splits.items():
            found = {column: len(getattr(columns, column)) for column in Columns.model_fields}
            lengths = {length for column, length in found.items() if length or column not in _OPTIONAL}
            if len(lengths) != 1:
                raise ValueError(f"splits.{name}: its columns have different lengths")
            if not set(columns.tar) <= {i for i, tar in enumerate(self.tars) if tar.split == name}:
                raise ValueError(f"splits.{name}.tar: names a tar that is not of this split")
            if columns.labels and not -1 <= min(columns.labels) <= max(columns.labels) < len(self.classes):
                raise ValueError(
                    f"splits.{name}.labels: a label is not among the {len(self.classes)} classes"
                )
            counts.update(columns.tar)
        for number, tar in enumerate(self.tars):
            if counts[number] != tar.count:
                raise ValueError(f"tars: {tar.name} states {tar.count} images, {counts[number]} are listed")
        if self.files and self.files != {tar.name: tar.sha256 for tar in self.tars}:
            raise ValueError("files: they are not those of the tars")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an index.json, or the one in a folder.

        Raises:
            ValueError: the file is not an index of this version, or too large; names the file.
            OSError: it cannot be read.
        """
        path = Path(path)
        if path.is_dir():
            path = path / INDEX_FILE
        try:
            index = cls.model_validate_json(read_bytes(path, LARGEST))
        except ValidationError as error:
            reasons = "; ".join(explain(error, cls).splitlines())
            raise ValueError(f"{path}: {reasons}") from None
        check_seal(path, index.plain())
        index._folder = path.parent
        return index

    def write(self, folder: str | Path) -> None:
        """Write index.json into a folder, with one line per entry, since columns are long."""
        files = {tar.name: tar.sha256 for tar in self.tars}
        values = {**self.plain(), "files": files}
        entries = sorted({**values, SEAL: seal_of(values)}.items())
        lines = [f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in entries]
        write_text(Path(folder) / INDEX_FILE, "{\n" + ",\n".join(lines) + "\n}\n")
