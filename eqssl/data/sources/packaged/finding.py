"""Images that come inside other packages: find the file without importing the package, and decode it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from eqssl.config.regular_files import read_bytes
from eqssl.config.sources import SplitName
from eqssl.data.sources.base import Pixels, Sample
from eqssl.data.sources.packaged.patches import corners, count, regions
from eqssl.machine.packages import install

_LARGEST = 2**26
"""Bytes of a file; the largest that is used has 5 million."""
MARGINS = "Margins that no whole patch fits into, and the gaps between regions, are left out."
"""A note that every source of patches has."""
_FORMATS = ("PNG", "TIFF", "JPEG")
_MODES = ("L", "RGB", "I;16", "I;16L")


@dataclass(frozen=True)
class Packaged:
    """A file of a package.

    Attributes:
        module: top folder of the package, as Python imports it.
        path: of the file below this folder.
    """

    module: str
    path: str

    def find(self) -> Path:
        """Where the file is.

        Raises:
            ValueError: the package or the file is not there; names the command that installs it.
        """
        spec = find_spec(self.module)  # of a top package, this imports nothing
        folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
        for folder in folders:
            if (folder / self.path).is_file():
                return folder / self.path
        reason = "is not in this version of" if folders else "is part of"
        raise ValueError(f"{self.module}/{self.path} {reason} a package to install: {install(self.module)}")

    def pages(self) -> list[Pixels]:
        """The image, or each page of a stack, as it is: 8 or 16 bits, gray or RGB.

        Raises:
            ValueError: it is not there or cannot be decoded; names the file.
            OSError: it cannot be read.
        """
        path = self.find()
        content = read_bytes(path, _LARGEST)
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                return list(_pages(image))
        except Exception as error:  # Pillow's decoders raise errors of any type
            raise ValueError(f"{path}: cannot be decoded: {str(error) or type(error).__name__}") from None


def _pages(image: Image.Image) -> Iterator[Pixels]:
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        if image.mode not in _MODES:
            raise ValueError(f"given the mode {image.mode}, allowed: {', '.join(_MODES)}")
        page = np.array(image)
        yield page.astype(page.dtype.newbyteorder("=")).reshape(*page.shape[:2], -1)


@dataclass(frozen=True)
class Photograph:
    """One image, cut into patches.

    Attributes:
        name: part of the keys and the names.
        pages: the image, or all pages of a stack, of one size.
        label: of all patches.
    """

    name: str
    pages: list[Pixels]
    label: int | None

    def count(self, patch: int) -> int:
        """Number of patches."""
        height, width, _ = self.pages[0].shape
        return len(self.pages) * count(height, width, patch)

    def samples(self, patch: int) -> Iterator[Sample]:
        """Patches, region by region. Each region is a group of its own, over all pages."""
        height, width, _ = self.pages[0].shape
        for region in regions(width, patch):
            for number, page in enumerate(self.pages):
                several = len(self.pages) > 1
                name = f"{self.name}-{number:02d}" if several else self.name
                for top, left in corners(region, height, patch):
                    yield Sample(
                        f"{name}-{top:04d}-{left:04d}",
                        np.ascontiguousarray(page[top : top + patch, left : left + patch]),
                        self.label,
                        region.split,
                        0,
                        group=f"{self.name}-{region.split}",
                        name=f"{name}, rows from {top}, columns from {left}",
                    )


class Patches:
    """Patches of some photographs, as a source of images."""

    classes: tuple[str, ...]
    licence: str
    origin: str
    notes: tuple[str, ...]

    def __init__(self, photographs: list[Photograph], patch: int) -> None:
        self._photographs, self._patch = photographs, patch

    def count(self) -> int:
        """Number of patches."""
        return sum(photograph.count(self._patch) for photograph in self._photographs)

    def samples(self) -> Iterator[Sample]:
        """Patches of one photograph after the other; each split is numbered from 0."""
        numbers: Counter[SplitName | None] = Counter()
        for photograph in self._photographs:
            for sample in photograph.samples(self._patch):
                yield replace(sample, index=numbers[sample.split])
                numbers[sample.split] += 1
