"""What the folders above an image file mean: its split, its class, its group, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from eqssl.config.plain import counted
from eqssl.config.sources import SplitName
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.files.split_names import split_of_name, split_of_value

Level = Literal["split", "class", "group", "other"]
_HINT = "`folders` says what each level means, such as"


@dataclass(frozen=True)
class Said:
    """What is said of some images, one entry each in their order; None where nothing is said of any.

    Attributes:
        labels: names or numbers of classes.
        splits, groups: as in `Sample`.
        notes: a sentence for each thing that was guessed.
    """

    labels: Sequence[object] | None = None
    splits: Sequence[SplitName | None] | None = None
    groups: Sequence[str | None] | None = None
    notes: list[str] = field(default_factory=list)


def told(root: Path, names: Sequence[str], levels: Sequence[Level], labelled: bool) -> Said:
    """What folders say, if `levels` states what each level means, from the top.

    Raises:
        ValueError: an image lies less deep, or a folder is none of a split; names the first.
    """
    wanted: list[Level] = ["other" if level == "class" and not labelled else level for level in levels]
    while wanted and wanted[-1] == "other":
        wanted.pop()
    short = [name for name in names if name.count("/") < len(wanted)]
    if short:
        raise ValueError(
            f"{root}: folders: given [{', '.join(levels)}], but {len(short)} images lie in fewer folders: "
            f"{shown_names(short)}; `files` takes a part of the files"
        )
    found: dict[Level, list[str]] = {
        level: [name.split("/", i + 1)[i] for name in names]
        for i, level in enumerate(wanted)
        if level != "other"
    }
    said = Said(found.get("class"), groups=found.get("group"))
    if "split" not in found:
        return said
    words = {word: split_of_value(word) or split_of_name(word) for word in sorted(set(found["split"]))}
    if unknown := [word for word, split in words.items() if split is None]:
        raise ValueError(
            f"{root}: folders: level {wanted.index('split') + 1} is the split, and these are none: "
            f"{shown_names(unknown)}; `files` takes a part of the files"
        )
    renamed = {word: split for word, split in words.items() if word != split}
    notes = [f"Folders that are splits: {_shown_splits(renamed)}."] if renamed else []
    return Said(said.labels, [words[word] for word in found["split"]], said.groups, notes)


def guessed(root: Path, names: Sequence[str], labelled: bool) -> Said:
    """What folders say, if nobody states it.

    Folders at the top are splits if all have such names, else classes. Folders in splits are classes. Folders
    in classes mean nothing.

    Raises:
        ValueError: they may mean several things; says what to do.
    """
    tops = Counter(name.partition("/")[0] if "/" in name else "" for name in names)
    direct = tops.pop("", 0)
    words = {top: split for top in tops if (split := split_of_value(top))}
    if not tops:
        return Said(notes=[f"{root} has no folders, so that its images have no label and no split."])
    if words and (direct or len(words) < len(tops)):
        _refuse_part(root, tops, words, direct)
    if words:
        return _in_splits(root, names, words, labelled)
    if not direct and all(split_of_name(top) for top in tops):
        _refuse(
            root, f"the folders {shown_names(tops)} have names of splits in their names", "[split, class]"
        )
    _refuse_lower_splits(root, names, 1, "[class, split]" if labelled else "[other, split]")
    if not labelled:
        return Said()
    if direct:
        _refuse_beside(root, direct, f"the folders {shown_names(tops)}")
    _refuse_wrapper(root, names, 0)
    notes = [f"The folders directly below {root} are taken as classes: {shown_names(tops)}."]
    return Said([name.partition("/")[0] for name in names], notes=notes + _deeper(names, 1))


def _in_splits(root: Path, names: Sequence[str], words: dict[str, SplitName], labelled: bool) -> Said:
    """The folders at the top are splits."""
    splits = [words[name.partition("/")[0]] for name in names]
    notes = [f"The folders directly below {root} are taken as splits: {_shown_splits(words)}."]
    _refuse_lower_splits(
        root, names, 1, *(("[split, class]", "[other, split]") if labelled else ("[split]",))
    )
    labels = [name.split("/", 2)[1] if name.count("/") > 1 else None for name in names]
    if not labelled:
        return Said(splits=splits, notes=notes)
    direct = Counter(
        name.partition("/")[0] for name, label in zip(names, labels, strict=True) if label is None
    )
    inside = Counter(
        name.partition("/")[0] for name, label in zip(names, labels, strict=True) if label is not None
    )
    for word in words:
        if direct[word] and inside[word]:
            _refuse_beside(root / word, direct[word], "its folders")
    if not inside:
        notes.append("The images lie in no folders below them, so that they have no label.")
        return Said(splits=splits, notes=notes)
    _refuse_wrapper(root, [name for name in names if name.partition("/")[0] in inside], 1)
    classes = {label for label in labels if label is not None}
    notes.append(f"The folders directly below them are taken as classes: {shown_names(classes)}.")
    if direct:
        notes.append(f"The images in {shown_names(direct)} lie in no folders, so that they have no label.")
    return Said(labels, splits, notes=notes + _deeper(names, 2))


def _deeper(names: Sequence[str], levels: int) -> list[str]:
    deep = sum(name.count("/") > levels for name in names)
    if not deep:
        return []
    return [f"Folders further down, with {counted(deep, 'image')}, mean nothing unless `folders` says so."]


def _refuse(root: Path, found: str, *examples: str) -> NoReturn:
    shown = " or ".join(f"`folders: {example}`" for example in (*examples, "[]"))
    raise ValueError(f"{root}: {found}: {_HINT} {shown} for none")


def _refuse_part(root: Path, tops: Iterable[str], words: Iterable[str], direct: int) -> NoReturn:
    """Some folders at the top are splits, and others, or images, lie beside them."""
    others = sorted(set(tops).difference(words))
    beside = ([f"the folders {shown_names(others)}"] if others else []) + (
        [f"{direct} images"] if direct else []
    )
    examples = ("[split, class]", "[class]") if not direct else ()
    _refuse(
        root,
        f"the folders {shown_names(words)} are named like splits, but {' and '.join(beside)} beside them "
        "are not in one (`files` takes a part of the files)",
        *examples,
    )


def _refuse_lower_splits(root: Path, names: Sequence[str], level: int, *examples: str) -> None:
    """Refuse to take folders as classes, or as nothing, that are all named like splits."""
    lower = {name.split("/", level + 1)[level] for name in names if name.count("/") > level}
    if lower and all(split_of_value(word) for word in lower):
        _refuse(
            root, f"the folders {shown_names(lower)} on level {level + 1} are named like splits", *examples
        )


def _refuse_beside(root: Path, direct: int, folders: str) -> NoReturn:
    raise ValueError(
        f"{root}: {direct} images lie beside {folders}: move them into a folder of their class, or "
        "`labelled: false` takes all images without labels, or `files` takes a part of the files"
    )


def _refuse_wrapper(root: Path, names: Sequence[str], level: int) -> None:
    """Refuse a single class in which everything lies in further folders: these may be the classes."""
    single = {name.split("/", level + 1)[level] for name in names}
    if len(single) == 1 and all(name.count("/") > level + 1 for name in names):
        levels = ["split", "class"][1 - level :]
        examples = [f"[{', '.join(levels[:-1] + more)}]" for more in (["other", "class"], ["class"])]
        _refuse(
            root, f"all images lie in one folder {single.pop()!r}, and there in further folders", *examples
        )


def _shown_splits(words: dict[str, SplitName] | dict[str, SplitName | None]) -> str:
    return ", ".join(f"{word!r} as {split}" for word, split in sorted(words.items()))
