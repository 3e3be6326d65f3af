"""The version of a data set's files: what the shards are made of.

Time stamps say little about files that people copy and check out. The version is a hash of the names and the
content of all files. A file is read again only when its size, times or inode have changed. If DVC has a
pointer for the files, DVC is asked whether they agree with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

from eqssl.config.plain import shown
from eqssl.config.sources import SourceSettings
from eqssl.machine.files import read_json, sha256, write_text
from eqssl.machine.hashes import HashCache, cached_sha256, identity
from eqssl.machine.live.progress import track
from eqssl.machine.records import read_record
from eqssl.machine.scratch import scratch

MANY = 1000
"""From this number of files on, progress is shown."""


def raw_version(path: str | Path) -> str | None:
    """Hexadecimal hash of a file, or of the names and the content of all files in a folder.

    Hidden files do not count: file managers leave them.

    Args:
        path: the file or folder. A pointer of DVC is `PATH.dvc` beside it.

    Returns:
        The hash; None if there is no such file or folder.

    Raises:
        ValueError: the files differ from DVC's pointer, or one is a pipe or the like; says what to do.
        OSError: a file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        return None
    check_pointer(path)
    return _content(path)


def pointer_of(path: str | Path) -> Path:
    """DVC's pointer of a file or folder, be there one or not; a `/` at the end of the path means nothing."""
    path = Path(path)
    return path.with_name(f"{path.name}.dvc") if path.name else path / ".dvc"


def check_pointer(path: str | Path) -> None:
    """Refuse files that differ from DVC's pointer beside them, if there are both.

    Raises:
        ValueError: they differ, or one is a pipe or the like; says what to do.
        OSError: a file cannot be read.
    """
    path, pointer = Path(path), pointer_of(path)
    if path.exists() and pointer.is_file() and importlib.util.find_spec("dvc"):
        _compare(path, pointer)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Name below the path, and path, of every file that is not hidden, in the order of names."""
    if not path.is_dir():
        yield path.name, path
        return
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            file = Path(folder, name)
            if not name.startswith("."):
                yield file.relative_to(path).as_posix(), file


def _content(path: Path) -> str:
    cache = HashCache(scratch() / "raw.json")
    files = list(_files(path))
    digest = hashlib.sha256()
    for name, file in track(files, len(files), f"hashing {path}", "files") if len(files) >= MANY else files:
        digest.update(f"{os.fsencode(name).hex()} {cached_sha256(file, cache)}\n".encode())
    with suppress(OSError):  # with a full disk the next run only takes longer
        cache.save()
    return digest.hexdigest()


def _compare(path: Path, pointer: Path) -> None:
    """Ask DVC whether the files are those of the pointer, unless nothing changed since it last said yes."""
    known = scratch() / "pointers.json"
    key, state = str(path.resolve()), _state(path, pointer)
    try:
        agreed = read_json(known)
    except (ValueError, OSError):
        agreed = {}
    if agreed.get(key) == state:
        return
    if _dvc_status(pointer):
        raise ValueError(
            f"{path}: differs from {pointer}: `dvc add {quote(str(path))}` makes the files as they are the "
            f"new version, `dvc checkout {quote(str(pointer))}` brings back those of the pointer"
        )
    with suppress(OSError):
        write_text(known, json.dumps({**agreed, key: state}) + "\n")


def _state(path: Path, pointer: Path) -> str:
    """A hash of the pointer, and of names, sizes, times and inodes of all files."""
    digest = hashlib.sha256(sha256(pointer).encode())
    for name, file in _files(path):
        digest.update(f"{os.fsencode(name).hex()} {tuple(identity(file))}\n".encode())
    return digest.hexdigest()


def _dvc_status(pointer: Path) -> bool:
    """Whether DVC finds that the files of a pointer have changed."""
    command = [sys.executable, "-m", "dvc", "status", "--json", str(pointer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return bool(json.loads(done.stdout))
    except ValueError:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no answer"]
        raise ValueError(f"{pointer}: DVC cannot compare it with the files: {shown(lines[-1])}") from None


def version_of(dataset: str, source: SourceSettings, shards: str | Path) -> str:
    """The version of all files of a data set; an empty text for one that comes with a package.

    Args:
        dataset: its name.
        source: its entry in `datasets`.
        shards: the folder of its shards. If files are gone, the version that they state counts.

    Raises:
        ValueError: files are gone and there are no shards, or as for `raw_version`.
        OSError: a file cannot be read.
    """
    versions = {path: raw_version(path) for path in source.inputs}
    gone = [path for path, version in versions.items() if version is None]
    if not gone:
        parts = [version for version in versions.values() if version]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest() if parts else ""
    with suppress(ValueError, OSError):
        return read_record(Path(shards) / "index.json").made_of["raw"]
    pointer = pointer_of(gone[0])
    if pointer.is_file():
        fetch = f"`dvc pull {quote(str(pointer))}` fetches it"
        raise ValueError(f"datasets.{dataset}: {gone[0]} is not there: {fetch}")
    raise ValueError(
        f"datasets.{dataset}: {gone[0]} is not there. Files that neither git nor DVC tracks do not travel to "
        f"clones and temporary experiments: `dvc add {quote(gone[0])}` where they are"
    )
