"""Settings of data sets: one class for each kind of source, which names the class that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from eqssl.config.kinds import Kind
from eqssl.config.values import ColumnName, PathName, Pixels


class SourceSettings(Kind):
    """What every entry of the table `datasets` has.

    Attributes:
        source: the kind of source.
        turned: whether each image is turned once, by its own angle, before it is stored.
        size: side of the stored square in pixels, at most 4,096; None keeps the source's size.
    """

    discriminator: ClassVar[str] = "source"

    source: str
    turned: bool
    size: Pixels | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Files and folders that the images come from; the shards are out of date when these change."""
        return ()


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


class ParquetSettings(SourceSettings):
    """A folder of Parquet files.

    Attributes:
        path: the folder, with train*.parquet and test*.parquet.
        image_column: name of the column of encoded images.
        label_column: name of the column of labels, integers from 0.
    """

    implementation: ClassVar[str] = "eqssl.data.sources.parquet:ParquetFolder"

    source: Literal["parquet"]
    path: PathName
    image_column: ColumnName = "image"
    label_column: ColumnName = "label"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folder."""
        return (self.path,)


# New sources go above this line.
if TYPE_CHECKING:
    AnySource: TypeAlias = SourceSettings
else:
    AnySource = SourceSettings.union()
