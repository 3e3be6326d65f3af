"""What the path of a file says: its split, its number, and the pattern that it shares with others."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from eqssl.config.sources import SplitName

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
_FILLING = {"of", "part", "shard", "chunk"}
"""Words beside a number that mean nothing more than that."""
_SPLIT, _NUMBER, _ROLE = "{split}", "#", "{role}"
_TOKENS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]+")
# what writers append so that names are unique: a hash behind the numbers, and a UUID
_HASH = re.compile(r"(-of-[0-9]+)-[0-9a-f]{8,40}$")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class PathReading:
    """What a path below the folder of a data set says.

    Attributes:
        splits: all splits that it names.
        split: the split; None if it names none or several.
        folder: pattern of the folder, empty for the top.
        pattern: pattern of the file name: the word of the split is `{split}`, numbers of their own are `#`.
        shape: the same with the word of the split as it is.
        bare: whether the name of the file is only split and numbers, or only numbers in a folder of a split.
        numbers: these numbers, as digits.
        roles: which of the given words are in the name.
        part: (number, total) of a name such as `train-00000-of-00002`; None for other names.
    """

    splits: frozenset[SplitName]
    split: SplitName | None
    folder: str
    pattern: str
    shape: str
    bare: bool
    numbers: tuple[str, ...]
    roles: tuple[str, ...]
    part: tuple[int, int] | None


def split_of_value(value: object) -> SplitName | None:
    """The split that an entry of a column or table means; None if it means none."""
    return _WORDS.get(str(value).strip().lower())


def split_of_name(name: str) -> SplitName | None:
    """The split that a name has as a whole word, such as `x_train_0.h5`; None if none or several."""
    found = _splits(name)
    return next(iter(found)) if len(found) == 1 else None


def read_path(folders: Sequence[str], stem: str, roles: Collection[str] = ()) -> PathReading:
    """Read the path of a file.

    Args:
        folders: names of the folders above it, from the top of the data set.
        stem: its name without the ending.
        roles: words that tell files apart which belong together, such as x and y.
    """
    splits = _splits(stem)
    told = not splits
    sure = {sure for name in folders if (sure := split_of_value(name))}
    if not splits:
        near = [found for found in map(_splits, reversed(folders)) if len(found) == 1]
        splits = near[0] if near else frozenset[SplitName]()
    splits = splits | sure  # `train/test.parquet` names two
    split = next(iter(splits)) if len(splits) == 1 else None
    tokens = _TOKENS.findall(_UUID.sub(_NUMBER, _HASH.sub(rf"\1-{_NUMBER}", stem)))
    shape = [_general(tokens, i, roles) for i in range(len(tokens))]
    pattern = [_SPLIT if split and _WORDS.get(word.lower()) == split else word for word in shape]
    part = re.search(r"([0-9]+)[-_]of[-_]([0-9]+)", stem)
    return PathReading(
        splits=splits,
        split=split,
        folder="/".join(_folder(name, split, told) for name in folders),
        pattern="".join(pattern),
        shape="/".join((*folders, "".join(shape))),
        bare=split is not None and (not told or bool(sure)) and all(map(_means_nothing, pattern)),
        numbers=tuple(token for token, word in zip(tokens, shape, strict=True) if word == _NUMBER != token),
        roles=tuple(token.lower() for token, word in zip(tokens, shape, strict=True) if word == _ROLE),
        part=(int(part[1]), int(part[2])) if part else None,
    )


def _folder(name: str, split: SplitName | None, told: bool) -> str:
    """Pattern of a folder. A word among others counts only if the name of the file tells no split."""
    if split is None or not (split_of_value(name) or (told and split_of_name(name) == split)):
        return name
    return "".join(_SPLIT if _WORDS.get(word.lower()) == split else word for word in _TOKENS.findall(name))


def _splits(name: str) -> frozenset[SplitName]:
    return frozenset(_WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _WORDS)


def _general(tokens: Sequence[str], i: int, roles: Collection[str]) -> str:
    """A part of a name in the pattern. A number that belongs to a word, as in `cifar10` and `v2`, stays."""
    token, before = tokens[i], tokens[i - 1].lower() if i else ""
    if token.isdigit():
        after = tokens[i + 1] if i + 1 < len(tokens) else ""
        alone = not before.isalpha() or before in _WORDS or before in _FILLING or before in roles
        return _NUMBER if alone and not after.isalpha() else token
    return _ROLE if token.lower() in roles else token


def _means_nothing(word: str) -> bool:
    return word in (_SPLIT, _NUMBER, _ROLE) or word.lower() in _FILLING or not re.search("[A-Za-z0-9]", word)
