"""Which columns of a table hold images, labels, splits and groups, and whether their types fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from eqssl.config.plain import shown
from eqssl.config.sources import HubSettings, ParquetSettings, SplitName
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.labels import WITHOUT
from eqssl.data.sources.tables.types import holds_pixels, image_kind, is_scalar, is_value

Unread: TypeAlias = Callable[[int, int], str | None]
"""The column that need not be read of the rows from one number to another; None if all are read."""
_NO_IMAGES = ("Audio", "Video", "Pdf")


class Table(Protocol):
    """Rows with a column of images.

    Attributes:
        where: what messages call it, such as the path of a file.
        name: what its images are called by, if they have no names of their own.
        split: the split of all its rows; None if it says none.
        schema: its columns, as Arrow describes them.
        count: number of rows.
        folders: where files are looked for that its rows name.
    """

    where: str
    name: str
    split: SplitName | None
    schema: Any
    count: int
    folders: tuple[Path, ...]

    def kind(self, column: str) -> str | None:
        """The type of a column as Hugging Face calls it, such as Image; None if that is not known."""
        ...

    def class_names(self, column: str) -> tuple[str, ...]:
        """Names of the classes of a column of numbers; none if that is not known."""
        ...

    def batches(self, columns: Sequence[str], rows: int, unread: Unread | None = None) -> Iterator[Any]:
        """Record batches of Arrow with these columns, of at most so many rows. What is unread may lack."""
        ...


@dataclass(frozen=True)
class Columns:
    """Names of columns; None for what is not read."""

    image: str
    label: str | None
    split: str | None
    group: str | None

    def all(self, table: Table) -> tuple[str, ...]:
        """Those that a table has, each once."""
        wanted = (self.image, self.label, self.split, self.group)
        return tuple(dict.fromkeys(name for name in wanted if name and name in table.schema.names))


def chosen_columns(
    tables: Sequence[Table], settings: ParquetSettings | HubSettings
) -> tuple[Columns, list[str]]:
    """The columns that the settings name, or those with the usual names; and sentences on what was guessed.

    Raises:
        ValueError: a column is missing, ambiguous or of a type that does not fit; names table and column.
    """
    notes: list[str] = []
    image = settings.image_column or _image(tables[0])
    if image not in (settings.image_column, "image"):
        notes.append(f"The images are taken from the column {image!r}.")
    label = _label(tables, settings, notes) if settings.labelled else None
    group = _known(tables, settings.group_column, "group")
    columns = Columns(image, label, _split(tables, settings.split_column, notes), group)
    for table in tables:
        _check(table, columns)
    told = {settings.label_column or "label", *vars(columns).values()}
    if others := {name for table in tables for name in table.schema.names} - told:
        notes.append(f"Columns that were left out: {shown_names(others)}.")
    return columns, notes


def _image(table: Table) -> str:
    """The column of encoded images."""
    names = table.schema.names
    found = [
        field.name
        for field in table.schema
        if image_kind(field.type) in ("bytes", "struct") and table.kind(field.name) not in _NO_IMAGES
    ]
    if "image" in found or (not found and "image" in names):
        return "image"
    if not found:
        raise ValueError(
            f"{table.where}: has no column 'image', and none of encoded images (binary or "
            f"struct<bytes, path>); name one with `image_column`; its columns: {_listed(table)}"
        )
    if len(set(found)) > 1:
        raise ValueError(
            f"{table.where}: several columns could hold the images: {shown_names(found)}; name one with "
            "`image_column`"
        )
    return str(found[0])


def _label(tables: Sequence[Table], settings: ParquetSettings | HubSettings, notes: list[str]) -> str | None:
    name = settings.label_column or "label"
    without = [table for table in tables if name not in table.schema.names]
    if settings.label_column is not None:
        _refuse_missing(without, name, "label_column")
    elif len(without) == len(tables):
        notes.append(
            f"There is no column 'label': the images have no labels. The columns are {_listed(tables[0])}; "
            "`label_column` names one."
        )
        return None
    elif without:
        names = shown_names(table.name for table in without)
        notes.append(f"These have no column 'label', so that their images have no labels: {names}.")
    return name


def _known(tables: Sequence[Table], given: str | None, usual: str) -> str | None:
    """A column that all tables have; None if none is named and no table has the usual one."""
    name = given or usual
    without = [table for table in tables if name not in table.schema.names]
    if given is None and len(without) == len(tables):
        return None
    _refuse_missing(without, name, f"{usual}_column")
    return name


def _split(tables: Sequence[Table], given: str | None, notes: list[str]) -> str | None:
    """The column of splits. Names of several splits say more than a column that the settings do not name."""
    if given is None and len({table.split for table in tables}) > 1:
        if any("split" in table.schema.names for table in tables):
            notes.append("The column 'split' is not read, because the files are of different splits.")
        return None
    name = _known(tables, given, "split")
    if name is not None and any(table.split for table in tables):
        notes.append(f"The split of each image is that of the column {name!r}, and not that of its file.")
    return name


def _refuse_missing(tables: Sequence[Table], name: str, key: str) -> None:
    if tables:
        raise ValueError(
            f"{tables[0].where}: has no column {name!r} ({key}); its columns: {_listed(tables[0])}"
        )


def _listed(table: Table) -> str:
    return shown(", ".join(table.schema.names)).strip("'\"")


def _check(table: Table, columns: Columns) -> None:
    """Refuse columns that occur twice or are of types that cannot be read."""
    for name in dict.fromkeys((columns.image, columns.label, columns.split, columns.group)):
        found = table.schema.names.count(name)
        if found > 1:
            raise ValueError(f"{table.where}: has {found} columns {name!r}; its columns: {_listed(table)}")
    if columns.image not in table.schema.names:
        _refuse_missing([table], columns.image, "image_column")
    _check_image(table, columns.image)
    kinds = {name: table.schema.field(name).type for name in columns.all(table)}
    if columns.label in kinds and not is_scalar(kinds[columns.label]):
        raise ValueError(
            f"{table.where}: column {columns.label!r} is {kinds[columns.label]}, allowed for labels: whole "
            f"numbers, texts, true and false; {WITHOUT}"
        )
    for name in (columns.split, columns.group):
        if name in kinds and not is_value(kinds[name]):
            raise ValueError(
                f"{table.where}: column {name!r} is {kinds[name]}, allowed: texts, whole numbers and dates"
            )


def _check_image(table: Table, name: str) -> None:
    kind = table.schema.field(name).type
    if image_kind(kind) is not None:
        return
    hint = ""
    if holds_pixels(kind):
        hint = "; pixels in lists are not read: store encoded images (PNG), or use the source npz or hdf5"
    raise ValueError(
        f"{table.where}: column {name!r} is {shown(str(kind))[1:-1]}, allowed: encoded images (binary or "
        f"struct<bytes, path>) or texts that are paths of image files{hint}"
    )
