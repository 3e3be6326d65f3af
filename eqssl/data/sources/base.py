"""What a source of images provides."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from eqssl.config.sources import SplitName
from eqssl.data.images.pixels import Pixels

__all__ = ["EVERY", "Outlined", "Pixels", "Sample", "Source"]


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        key: its name, unique in the data set: digits, lower-case letters, `_` and `-`. (In a WebDataset tar,
            a dot would end the name.)
        image: the bytes of an image file as they are, or pixels.
        label: index into the source's classes; None if the image has none.
        split: the split at the source; None if the source has no splits.
        index: number of the image in its split at the source. The split and this number decide the angle in a
            turned data set, so a subset of a data set has the same angles as the whole.
        group: what must not be in two splits, such as a patient or a slide; None if there is no such thing.
        name: what a person calls the image, such as its path; for messages, and kept in index.json.
    """

    key: str
    image: bytes | Pixels
    label: int | None
    split: SplitName | None
    index: int
    group: str | None = None
    name: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of the image as it is at the source."""
        return len(self.image) if isinstance(self.image, bytes) else self.image.nbytes


class Source(Protocol):
    """A data set as its owner has it.

    Attributes:
        classes: names of the classes, in the order of the labels; none if no image has a label.
        licence: the licence of the images, in words.
        origin: where the images come from, in words.
        notes: a sentence for each thing that was guessed or left out; printed, and kept in index.json.
    """

    classes: tuple[str, ...]
    licence: str
    origin: str
    notes: tuple[str, ...]

    def count(self) -> int:
        """Number of images."""
        ...

    def samples(self) -> Iterator[Sample]:
        """The images, one at a time, always in the same order."""
        ...


@runtime_checkable
class Outlined(Source, Protocol):
    """A source that can pass over images without reading them, so that a large data set is soon looked at."""

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """`samples`, in which the image is b"" unless its number, counted from 0, is wanted."""
        ...


class _Every:
    def __contains__(self, number: object) -> bool:
        return True


EVERY: Container[int] = _Every()
"""Holds each number."""
