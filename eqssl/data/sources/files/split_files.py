"""Files of a data set that consists of some large files: which are taken, and to which split each belongs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eqssl.config.plain import counted
from eqssl.config.regular_files import check_regular
from eqssl.config.sources import FilePatterns, SplitName
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.files.numbered import check_numbers, missing_parts
from eqssl.data.sources.files.split_names import PathReading, read_path

_MOST_FILES = 100_000
_ORDER: tuple[SplitName | None, ...] = ("train", "val", "test", None)


@dataclass(frozen=True)
class FoundFiles:
    """The files of a data set.

    Attributes:
        files: each with its split, None if its name has none; by splits, then by names.
        left_out: files with the right ending that are not taken, below the folder.
        others: everything else there; a folder without such files is one entry.
        notes: sentences on what was guessed and left out, but for the others.
    """

    files: list[tuple[Path, SplitName | None]]
    left_out: list[str]
    others: list[str]
    notes: list[str]

    def all_notes(self) -> list[str]:
        """The notes, and one that names the others."""
        if not self.others:
            return self.notes
        return [
            *self.notes,
            f"Left out: {shown_names(self.others)}.",
        ]


@dataclass(frozen=True)
class _Candidate:
    path: Path
    relative: str
    reading: PathReading

    @property
    def split(self) -> SplitName | None:
        return self.reading.split

    @property
    def depth(self) -> int:
        return self.relative.count("/")


def found_files(
    path: Path, endings: tuple[str, ...], patterns: FilePatterns | None, roles: Collection[str] = ()
) -> FoundFiles:
    """The files of a data set, and what is left out.

    A split is a whole word of the name of a file or of its folder. The files that are taken have names of one
    pattern: the word of the split and numbers alone, or else what names of several splits share.

    Args:
        path: a file, which is taken as it is, or a folder with files at any depth.
        endings: of the files that are meant.
        patterns: split -> pattern of file names below the folder; None for the rule above.
        roles: words of names that tell files apart which belong together, such as x and y.

    Raises:
        ValueError: no file is found, several patterns fit or none does, or a numbered file is missing.
        OSError: a file is a pipe or the like, or the folder cannot be read.
    """
    if patterns is None and not path.is_dir():
        check_regular(path, path.stat().st_mode)
        return FoundFiles([(path, None)], [], [], _notes_of_one(path, roles))
    names, others = _walk(path, endings)
    if patterns is None:
        if not names:
            raise ValueError(f"{path}: has no files {', '.join('*' + ending for ending in endings)}")
        candidates = [_candidate(path, name, roles) for name in names]
        chosen, notes = _chosen(path, candidates)
        notes += check_numbers(path, [(c.relative, c.reading) for c in chosen])
        files = [(candidate.path, candidate.split) for candidate in chosen]
    else:
        files, notes = _matching(path, patterns), []
        notes += missing_parts(
            [_candidate(path, str(file.relative_to(path)), roles).reading for file, _ in files]
        )
    files.sort(key=lambda found: (_ORDER.index(found[1]), str(found[0])))
    for file, _ in files:
        _check_file(path, file)
    taken = {file for file, _ in files}
    left_out = [name for name in names if path / name not in taken]
    if left_out:
        names_of_them = shown_names(left_out)
        count = counted(len(left_out), f"{endings[0]} file")
        notes.append(f"Left out because of their names: {count}: {names_of_them}.")
    return FoundFiles(files, left_out, [name for name in others if path / name not in taken], notes)


def _walk(path: Path, endings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Files with the endings below a folder, and everything else.

    Hidden folders and linked ones are not entered.
    """
    names: list[str] = []
    others: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(path / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                hidden = entry.name.startswith(".")
                if Path(entry.name).suffix.lower() in endings and not hidden:
                    names.append(name)
                    continue
                others.append(name)
                if entry.is_dir(follow_symlinks=False) and not hidden:
                    waiting.append(f"{name}/")
        if len(names) + len(waiting) > _MOST_FILES:
            raise ValueError(f"{path}: has more than {_MOST_FILES} folders and files *{endings[0]}")
    above = {
        "/".join(parts[:i]) for name in names for parts in [name.split("/")] for i in range(1, len(parts))
    }
    return sorted(names), sorted({_uppermost(name, above) for name in others if name not in above})


def _uppermost(name: str, above: Collection[str]) -> str:
    """The name, or the first folder above it that holds no file of the data set."""
    parts = name.split("/")
    places = ("/".join(parts[:i]) for i in range(1, len(parts)))
    return next((place for place in places if place not in above), name)


def _candidate(path: Path, relative: str, roles: Collection[str]) -> _Candidate:
    *folders, name = relative.split("/")
    return _Candidate(path / relative, relative, read_path(folders, Path(name).stem, roles))


def _notes_of_one(path: Path, roles: Collection[str]) -> list[str]:
    reading = read_path([], path.stem, roles)
    notes = []
    if reading.split is not None:
        notes.append(f"{path.name} is the whole data set, without splits, whatever its name says.")
    return notes + missing_parts([reading])


def _chosen(path: Path, candidates: list[_Candidate]) -> tuple[list[_Candidate], list[str]]:
    """The files of the one pattern that fits.

    Raises:
        ValueError: no pattern fits, or several do.
    """
    if not any(candidate.split for candidate in candidates):
        return _without_splits(path, candidates)
    groups = _groups(candidates)
    fitting = [group for group in groups if group[0].reading.bare or len(_splits(group)) > 1]
    if not fitting and len(groups) == 1:
        fitting = groups
    if not fitting:
        raise ValueError(
            f"{path}: the names of its files are of several patterns: {_listed(groups)}; "
            "name the files of each split with `files`"
        )
    least = min(group[0].depth for group in fitting)
    # a bare name says more than what several names share; what lies deeper is a copy or another data set
    top = [group for group in fitting if group[0].depth == least]
    top = _fuller([group for group in top if group[0].reading.bare] or top)
    covered = _splits(top[0])
    if len(top) > 1 or (len(covered) == 1 and any(not _splits(group) <= covered for group in fitting)):
        raise ValueError(
            f"{path}: files of several patterns could be the data set: {_listed(fitting)}; give the "
            "folder of one as `path`, or name the files of each split with `files`"
        )
    unknown = [c.relative for c in candidates if not c.reading.splits and c.depth <= least]
    if unknown and len(covered) == 1:
        raise ValueError(
            f"{path}: the names of some files have no split: {shown_names(unknown)}; name them with `files`"
        )
    return top[0], ["The split of each file is taken from its name."]


def _fuller(groups: list[list[_Candidate]]) -> list[list[_Candidate]]:
    """The groups without those of one split that a group of several splits has too."""
    several = [group for group in groups if len(_splits(group)) > 1]
    covered = {split for group in several for split in _splits(group)}
    return several + [group for group in groups if group not in several and not _splits(group) <= covered]


def _without_splits(path: Path, candidates: list[_Candidate]) -> tuple[list[_Candidate], list[str]]:
    """All files of the uppermost folder that has some: one set without splits."""
    unclear = [candidate.relative for candidate in candidates if candidate.reading.splits]
    if unclear and len(candidates) > 1:
        raise ValueError(
            f"{path}: the names of some files have several splits: {shown_names(unclear)}; name the files of "
            "each split with `files`"
        )
    least = min(candidate.depth for candidate in candidates)
    taken = [candidate for candidate in candidates if candidate.depth == least]
    if len(taken) == 1:
        return taken, []
    names = shown_names(candidate.relative for candidate in taken)
    return taken, [f"No file name says a split: {len(taken)} files are one set without splits: {names}."]


def _groups(candidates: Sequence[_Candidate]) -> list[list[_Candidate]]:
    """Files with a split by the pattern of their paths; names of split and numbers alone are one pattern."""
    groups: dict[tuple[str, str], list[_Candidate]] = {}
    for candidate in candidates:
        if candidate.split is not None:
            reading = candidate.reading
            pattern = "" if reading.bare else reading.pattern
            groups.setdefault((reading.folder, pattern), []).append(candidate)
    return list(groups.values())


def _splits(group: Sequence[_Candidate]) -> set[SplitName | None]:
    return {candidate.split for candidate in group}


def _listed(groups: Sequence[Sequence[_Candidate]]) -> str:
    return shown_names(group[0].relative for group in groups)


def _matching(path: Path, patterns: FilePatterns) -> list[tuple[Path, SplitName | None]]:
    files: dict[Path, SplitName | None] = {}
    for split, pattern in patterns.items():
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise ValueError(f"files.{split}: given {pattern!r}, allowed: a pattern below the folder")
        found = list(_glob(path, split, pattern))
        if not found:
            raise ValueError(f"files.{split}: no file below {path} matches {pattern!r}")
        for file in found:
            if file in files:
                raise ValueError(f"files: {file} belongs to two splits")
            files[file] = split
    return list(files.items())


def _glob(path: Path, split: SplitName, pattern: str) -> Iterator[Path]:
    try:
        yield from (file for file in path.glob(pattern) if not file.is_dir())
    except (ValueError, NotImplementedError, IndexError) as error:
        raise ValueError(f"files.{split}: given {pattern!r}: {error}") from None


def _check_file(path: Path, file: Path) -> None:
    if not str(file.relative_to(path)).isprintable():
        raise ValueError(f"{path}: given the file name {file.name!r}, allowed: printable letters")
    check_regular(file, file.stat().st_mode)
