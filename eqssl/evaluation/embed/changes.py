"""What was done to the images before the encoder read them, in sentences."""

from __future__ import annotations

from collections import Counter

from eqssl.config.plain import counted
from eqssl.config.sources import SourceSettings
from eqssl.data.shards.rows import called
from eqssl.data.shards.sizes import Sizes
from eqssl.data.sources.base import Sample

_OF_COLOURS: dict[tuple[int, int | None], str] = {
    (3, 1): "made gray",
    (1, 3): "gray, repeated to red, green and blue",
}
"""(channels at the source, channels that the encoder reads) -> what was done."""


class Changes:
    """Counts what is cut off, enlarged and brought to other channels.

    Args:
        settings: the form that the images are brought to.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._sizes, self._read = Sizes(settings.size), settings.channels
        self._channels = Counter[int]()

    def add(self, sample: Sample, shape: tuple[int, int, int]) -> None:
        """Count an image.

        Args:
            sample: the image.
            shape: height, width and channels at the source.
        """
        self._sizes.add(*shape[:2], called(sample))
        self._channels[shape[2]] += 1

    def notes(self) -> list[str]:
        """A sentence for each change that was made."""
        found, images = self._sizes.notes(), counted(self._channels.total(), "image")
        for given, count in sorted(self._channels.items()):
            if (given, self._read) in _OF_COLOURS:
                found.append(f"{_OF_COLOURS[given, self._read]}: {count:,} of {images}")
        return found
