"""Textures: photographs of brick, grass and gravel, which have no up, cut into patches."""

from __future__ import annotations

from eqssl.config.sources import TexturesSettings
from eqssl.data.sources.packaged.finding import MARGINS, Packaged, Patches, Photograph

_NAMES = ("brick", "grass", "gravel")


class Textures(Patches):
    """Patches of the three gray photographs of 512 x 512 pixels that come with scikit-image.

    Raises:
        ValueError: scikit-image is not installed, a file is damaged, or the patch is too large.
        OSError: a file cannot be read.
    """

    classes = _NAMES
    licence = "CC0 1.0 (the documentation of scikit-image's brick, grass and gravel)"
    origin = "scikit-image's brick, grass (linolafett, DeviantArt) and gravel (CC0Textures)"
    notes = (
        "The label is the photograph that a patch is cut from. Training, validation and test images come "
        "from different parts of it.",
        MARGINS,
    )

    def __init__(self, settings: TexturesSettings) -> None:
        files = [Packaged("skimage", f"data/{name}.png") for name in _NAMES]
        photographs = [
            Photograph(name, file.pages(), label)
            for label, (name, file) in enumerate(zip(_NAMES, files, strict=True))
        ]
        super().__init__(photographs, settings.patch)
        self.count()  # refuses a patch that is too large
