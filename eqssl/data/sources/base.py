"""What a source of images gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import UInt8

SourceSplit = Literal["train", "test"]


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        key: its name, unique in the data set; digits, lower-case letters, `_` and `-`. A dot would split
            the name in a WebDataset tar.
        image: gray (one channel) or RGB (three).
        label: index into the source's classes.
        split: the source's own split.
        index: number of the image in its split at the source. It alone decides by which angle a turned data
            set turns the image, so a part of a data set keeps the angles of the whole.
    """

    key: str
    image: UInt8[np.ndarray, "h w c"]
    label: int
    split: SourceSplit
    index: int


class Source(Protocol):
    """A data set as its publisher gives it, with a training and a test split.

    Attributes:
        classes: names of the classes, in the order of the labels.
        licence: the licence of the images, in words.
        origin: where the images came from, in words.
    """

    classes: tuple[str, ...]
    licence: str
    origin: str

    def count(self, split: SourceSplit) -> int:
        """Number of images of a split."""
        ...

    def samples(self, split: SourceSplit) -> Iterator[Sample]:
        """The images of a split, one at a time, always in the same order."""
        ...
