"""Data sets that Hugging Face's library `datasets` reads: a local folder, or a name on the hub."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eqssl.config.sources import HubSettings, SplitName
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.base import EVERY, Sample
from eqssl.data.sources.files.hub_files import LocalFiles
from eqssl.data.sources.files.split_names import split_of_value
from eqssl.data.sources.tables.columns import Unread
from eqssl.data.sources.tables.tables import TableImages
from eqssl.machine.packages import import_failure

_NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?")
_ORDER: tuple[SplitName, ...] = ("train", "val", "test")
_CACHED = "datasets.packaged_modules.cache.cache"


class HubDataset:
    """Images of a data set that `datasets` loads: the folder `settings.path`, or one of this name on the hub.

    No code of a data set is run, and no image is decoded by the library. Columns are found as in Parquet
    files. A key, such as `train-00000017`, is the split and the row. The library keeps a copy of its
    tables in its cache (`HF_HOME`); a local folder is read anew each time.

    Raises:
        ValueError: the library is not installed or cannot load the data set, a name has no revision, or a
            column does not fit.
    """

    def __init__(self, settings: HubSettings) -> None:
        self._path = settings.path
        local = _is_local(settings)
        loaded, version, files = _load(settings, local)
        notes = [f"Which files are read is decided by the library `datasets` {version}."]
        tables = _tables(settings.path, loaded, notes, Path(settings.path) if local else Path())
        top = (Path(settings.path).resolve(),) if local else _caches()
        with _one_line(settings.path, "read"):
            self._images = TableImages(tables, settings, top)
        if files is not None:
            counts = {name: len(rows) for name, rows in loaded.items()}
            notes += files.notes(counts, self._images.names_files)
        self.classes = self._images.classes
        known = {str(part.info.license) for part in loaded.values() if part.info.license}
        self.licence = ", ".join(sorted(known)) or "not stated in the data set"
        which = "a local folder" if local else f"revision {settings.revision}"
        config = f", configuration {settings.name}" if settings.name else ""
        place = Path(settings.path).name if local else settings.path
        self.origin = f"Hugging Face data set {place} ({which}{config})"
        self.notes = (*notes, *self._images.notes)

    def count(self) -> int:
        """Number of rows."""
        return self._images.count()

    def samples(self) -> Iterator[Sample]:
        """The images of one split after the other, in the order of the rows.

        Raises:
            ValueError: a row has no image, or what it says does not fit; names split, row and key.
            OSError: a file that a row names is a pipe or the like.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        with _one_line(self._path, "read"):
            yield from self._images.outline(wanted)


class HubSplit:
    """A split of a loaded data set as a table; see `eqssl.data.sources.tables.columns.Table`."""

    def __init__(self, path: str, name: str, split: SplitName | None, rows: Any, folder: Path) -> None:
        self.where, self.name, self.split = f"{path}: split {name}", f"split {name}", split
        self.folders: tuple[Path, ...] = (folder,)
        self.count = len(rows)
        self._rows, self._features = rows, rows.features
        self.schema: Any = rows.features.arrow_schema

    def kind(self, column: str) -> str | None:
        """The type of a column as the library calls it."""
        return type(self._features.get(column)).__name__

    def class_names(self, column: str) -> tuple[str, ...]:
        """Names of the classes of a ClassLabel."""
        if self.kind(column) != "ClassLabel":
            return ()
        return tuple(map(str, self._features[column].names or ()))

    def batches(self, columns: Sequence[str], rows: int, unread: Unread | None = None) -> Iterator[Any]:
        """Record batches of these columns, not decoded. Nothing is left out: they are mapped into memory."""
        import datasets

        chosen = self._rows.select_columns(list(columns))
        for column in columns:
            if self.kind(column) == "Image":
                chosen = chosen.cast_column(column, datasets.Image(decode=False))
        for table in chosen.with_format("arrow").iter(rows):
            yield from table.combine_chunks().to_batches()


def _is_local(settings: HubSettings) -> bool:
    """Whether the path is a folder.

    Raises:
        ValueError: it is neither a folder nor a name with a revision.
    """
    path = Path(settings.path)
    if path.is_dir():
        return True
    if path.exists():
        raise ValueError(f"{path}: is no folder; the source parquet reads a single Parquet file")
    if not _NAME.fullmatch(settings.path):
        raise ValueError(f"path: {settings.path} is no folder, and no name of a data set on the hub")
    if settings.revision is None:
        raise ValueError(
            f"revision: is missing: {settings.path} is no folder here, and a data set on the hub needs a "
            "commit or tag, so that a result can be repeated"
        )
    return False


def _load(settings: HubSettings, local: bool) -> tuple[Any, str, LocalFiles | None]:
    """The splits by their names, the version of the library, and the files of a local folder."""
    try:
        import datasets
    except ImportError as error:
        raise ValueError(f"{settings.path}: {import_failure(error)}") from None
    path = str(Path(settings.path).absolute()) if local else settings.path
    with _quiet(datasets), _one_line(settings.path, "loaded"):
        builder = datasets.load_dataset_builder(
            path,
            settings.name,
            revision=None if local else settings.revision,
            # the library knows a changed file only by its time of change
            download_mode="force_redownload" if local else None,
        )
        # offline, the library takes what it loaded last, whatever the revision
        if type(builder).__module__ == _CACHED and not _is_revision(str(builder.hash), settings.revision):
            raise ValueError(
                f"the hub cannot be reached, and the copy in the cache is of revision {builder.hash}, not "
                f"{settings.revision}"
            )
        files = LocalFiles(Path(settings.path), builder) if local else None
        builder.download_and_prepare(download_mode="force_redownload" if local else None)
        return dict(builder.as_dataset()), str(datasets.__version__), files


def _is_revision(commit: str, revision: str | None) -> bool:
    return revision is not None and len(revision) >= 7 and commit.startswith(revision)


def _tables(path: str, loaded: dict[str, Any], notes: list[str], folder: Path) -> list[HubSplit]:
    """The splits that are known, in the order of their names here; others are left out and named."""
    known = {name: split_of_value(name) for name in loaded}
    if len(loaded) == 1:
        ((name, split),) = known.items()
        return [HubSplit(path, name, split, loaded[name], folder)]
    tables = []
    for split in _ORDER:
        names = [name for name, found in known.items() if found == split]
        if len(names) > 1:
            raise ValueError(f"{path}: several splits mean {split}: {shown_names(names)}")
        tables += [HubSplit(path, name, split, loaded[name], folder) for name in names]
    other = [f"{name} ({len(loaded[name])} rows)" for name, split in known.items() if split is None]
    if not tables:
        raise ValueError(f"{path}: has the splits {shown_names(other)}, allowed: train, validation, test")
    if other:
        notes.append(f"Splits of other names that were left out: {shown_names(other)}.")
    return tables


def _caches() -> tuple[Path, ...]:
    """Folders in which the library keeps files of the hub."""
    from datasets import config

    found = (config.HF_CACHE_HOME, config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH)
    return tuple(dict.fromkeys(Path(folder).expanduser().resolve() for folder in found))


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the library's bars and warnings, such as those of each attempt to reach the hub."""
    from huggingface_hub.utils import logging

    bars = not datasets.utils.are_progress_bars_disabled()
    levels = logging.get_verbosity(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(levels[0])
        datasets.logging.set_verbosity(levels[1])
        if bars:
            datasets.enable_progress_bars()


@contextmanager
def _one_line(path: str, what: str) -> Iterator[None]:
    """Raise the library's errors, which are of many types, as one line that names the data set."""
    try:
        yield
    except GeneratorExit:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        while error.__cause__ is not None and isinstance(error.__cause__, Exception):
            error = error.__cause__
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise ValueError(f"{path}: cannot be {what} by `datasets`: {reason}") from None
