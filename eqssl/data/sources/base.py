"""What a source of images provides."""

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
        key: its name, unique in the data set: digits, lower-case letters, `_` and `-`. (In a WebDataset tar,
            a dot would end the name.)
        image: gray (one channel) or RGB (three channels).
        label: index into the source's classes.
        split: the split at the source.
        index: number of the image in its split at the source. The split and this number decide the angle in a
            turned data set, so a subset of a data set has the same angles as the whole.
    """

    key: str
    image: UInt8[np.ndarray, "h w c"]
    label: int
    split: SourceSplit
    index: int


class Source(Protocol):
    """A data set as published, with a training and a test split.

    Attributes:
        classes: names of the classes, in the order of the labels.
        licence: the licence of the images, in words.
        origin: where the images come from, in words.
    """

    classes: tuple[str, ...]
    licence: str
    origin: str

    def count(self, split: SourceSplit) -> int:
        """Number of images in a split."""
        ...

    def samples(self, split: SourceSplit) -> Iterator[Sample]:
        """The images of a split, one at a time, always in the same order."""
        ...
