"""Files of a data set that consists of some large files: which are taken, and to which split each belongs."""

from __future__ import annotations

import re
from pathlib import Path

from eqssl.config.regular_files import check_regular
from eqssl.config.sources import FilePatterns, SplitName
from eqssl.data.sources.array_names import shown_names

_WORDS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_MOST_FILES = 100_000


def split_of_name(name: str) -> SplitName | None:
    """The split that a file name has as a whole word, such as `x_train_0.h5`; None if none or several."""
    found = {_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def found_files(
    path: Path, endings: tuple[str, ...], patterns: FilePatterns | None
) -> tuple[list[tuple[Path, SplitName | None]], list[str]]:
    """The files of a data set in the order of their names, each with its split, and what is left out.

    Args:
        path: a file, or a folder, of which the files at its top are taken.
        endings: of the files that are meant.
        patterns: split -> pattern of file names below the folder; None for every file with such an ending.

    Returns:
        Files with splits, None if a name has none, and sentences on what was left out and guessed.

    Raises:
        ValueError: no file is found, a pattern finds none, or only some files have a split.
        OSError: a file is a pipe or the like, or the folder cannot be read.
    """
    if patterns is not None:
        files = _matching(path, patterns)
    elif path.is_dir():
        files = [
            (file, split_of_name(file.name)) for file in sorted(path.iterdir()) if file.suffix in endings
        ]
    else:
        files = [(path, None)]
    if not files:
        raise ValueError(f"{path}: has no files {', '.join('*' + ending for ending in endings)}")
    for file, _ in files:
        if not file.name.isprintable():
            raise ValueError(f"{path}: given the file name {file.name!r}, allowed: printable letters")
        check_regular(file, file.stat().st_mode)
    notes = _left_out(path, files)
    if patterns is None and any(split for _, split in files):
        notes.append("The split of each file is taken from its name.")
    return files, notes


def _matching(path: Path, patterns: FilePatterns) -> list[tuple[Path, SplitName | None]]:
    files: list[tuple[Path, SplitName | None]] = []
    for split, pattern in patterns.items():
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise ValueError(f"files.{split}: given {pattern!r}, allowed: a pattern below the folder")
        found = sorted(file for file in path.glob(pattern) if not file.is_dir())
        if not found:
            raise ValueError(f"files.{split}: no file below {path} matches {pattern!r}")
        files += [(file, split) for file in found]
    twice = [file for i, (file, _) in enumerate(files) if file in {other for other, _ in files[:i]}]
    if twice:
        raise ValueError(f"files: {twice[0]} belongs to two splits")
    return files


def _left_out(path: Path, files: list[tuple[Path, SplitName | None]]) -> list[str]:
    notes = []
    taken = {file for file, _ in files}
    if path.is_dir():
        rest = sorted(file.name for file in path.iterdir() if file not in taken)
        if rest:
            notes.append(f"{len(rest)} files and folders were left out: {shown_names(rest)}.")
    splits = {split for _, split in files}
    if None in splits and len(splits) > 1:
        unknown = [file.name for file, split in files if split is None]
        raise ValueError(
            f"{path}: the names of some files have no split: {shown_names(unknown)}; name them with `files`"
        )
    return notes
