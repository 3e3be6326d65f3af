"""Which source reads what a path names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from eqssl.config.errors import unknown
from eqssl.config.plain import counted
from eqssl.config.sources import OwnSettings
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.files.image_files import ENDINGS

_KINDS = {
    "parquet": ("parquet", "pq"),
    "webdataset": ("tar",),
    "hdf5": ("h5", "hdf5", "he5"),
    "npz": ("npz",),
}
_TABLES = ("csv", "parquet")
_MANIFESTS = ("manifest", "metadata", "labels")
_SAVED = ("dataset_dict.json", "dataset_info.json")
_PACKED = ("zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar")
_MOST_ENTRIES = 10**7
"""Of a folder that are looked at to tell its kind."""


@dataclass(frozen=True)
class Fit:
    """A source that may read a path.

    Attributes:
        source: its name in params.yaml.
        reason: what of it is there, in words.
        settings: those that it needs, beside `source`; `path` is one of them.
    """

    source: str
    reason: str
    settings: dict[str, Any] = field(default_factory=dict)


def own_sources() -> tuple[str, ...]:
    """Names of the sources of a user's own images."""
    return tuple(OwnSettings.kinds())


def kind_of(path: Path, source: str | None = None) -> Fit:
    """The one source that fits a path.

    Args:
        path: file or folder.
        source: the source that the user names; None to find it.

    Raises:
        ValueError: none fits or several do; says what was found and how to choose.
        OSError: a folder cannot be read.
    """
    if source is not None and source not in own_sources():
        raise ValueError(unknown("--source", source, own_sources()))
    if source == "hub":
        return Fit("hub", "the library `datasets` reads it", {"path": str(path)})
    if not path.exists():
        pointer = path.with_name(f"{path.name}.dvc")
        fetch = f": `dvc pull {quote(str(pointer))}` fetches it" if pointer.is_file() else ""
        raise ValueError(f"{path}: is not there{fetch}")
    fits = _of_folder(path) if path.is_dir() else _of_file(path)
    if source is not None:
        fits = [fit for fit in fits if fit.source == source] or [Fit(source, "", {"path": str(path)})]
    if not fits:
        raise ValueError(
            f"{path}: has no images, and no file *.parquet, *.tar, *.h5 or *.npz; `--source` names a source"
        )
    if len(fits) > 1:
        found = "; ".join(f"{fit.source}: {fit.reason}" for fit in fits)
        names = {fit.source for fit in fits}
        choose = "`--source` chooses one" if len(names) > 1 else "give the path of one of them"
        raise ValueError(f"{path}: several sources fit ({found}); {choose}")
    return fits[0]


def _of_file(path: Path) -> list[Fit]:
    ending = _ending(path.name)
    for source, endings in _KINDS.items():
        if ending in endings:
            return [Fit(source, "one file", {"path": str(path)})]
    if ending == "csv":
        given = {"path": str(path.parent), "manifest": str(path)}
        return [Fit("folder", f"images that {path.name} names", given)]
    if ending in ENDINGS:
        raise ValueError(f"{path}: is one image file, allowed: a folder of them")
    if ending in _PACKED:
        raise ValueError(f"{path}: is packed; unpack it and give the folder")
    return []


def _of_folder(path: Path) -> list[Fit]:
    if any((path / name).is_file() for name in _SAVED):
        return [Fit("hub", "`datasets` saved it", {"path": str(path)})]
    endings, npz = _endings(path)
    images = sum(endings[ending] for ending in ENDINGS)
    tables = _manifests(path) if images else []
    endings.subtract(Counter(_ending(table.name) for table in tables))
    fits = list(_image_fits(path, tables, images))
    for source, known in _KINDS.items():
        found = sum(endings[ending] for ending in known)
        if source == "npz":
            fits += [Fit("npz", name, {"path": str(path / name)}) for name in npz]
        elif found:
            fits.append(Fit(source, _files(found, known[0]), {"path": str(path)}))
    return fits


def _image_fits(path: Path, tables: list[Path], images: int) -> Iterator[Fit]:
    """Image files, with the table beside them if there is one.

    Raises:
        ValueError: there are several tables.
    """
    if not images:
        return
    if len(tables) > 1:
        raise ValueError(
            f"{path}: several files may say the labels: {shown_names(table.name for table in tables)}; give "
            "the path of one of them"
        )
    given = {"path": str(path), **({"manifest": str(tables[0])} if tables else {})}
    beside = f" and {tables[0].name}" if tables else ""
    yield Fit("folder", f"{counted(images, 'image file')}{beside}", given)


def _manifests(path: Path) -> list[Path]:
    """Tables at the top of a folder that are named like a list of images, in small or large letters."""
    usual = {f"{name}.{ending}" for name in _MANIFESTS for ending in _TABLES}
    return sorted(table for table in path.iterdir() if table.name.lower() in usual and table.is_file())


def _endings(path: Path) -> tuple[Counter[str], list[str]]:
    """How often each ending occurs below a folder, and the npz files. Hidden files do not count."""
    endings: Counter[str] = Counter()
    npz: list[str] = []
    waiting = [path]
    while waiting and endings.total() < _MOST_ENTRIES:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                ending = _ending(entry.name)
                endings[ending] += 1
                if ending == "npz":
                    npz.append(str(Path(entry.path).relative_to(path)))
    return endings, sorted(npz)[:20]


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _files(count: int, ending: str) -> str:
    return f"{count:,} {'file' if count == 1 else 'files'} *.{ending}"
