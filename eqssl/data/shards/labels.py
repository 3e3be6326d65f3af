"""What the labels of a data set allow, said when it is sharded."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from eqssl.config.plain import counted
from eqssl.config.sources import SplitName
from eqssl.data.shards.index import SPLIT_WORDS
from eqssl.data.shards.rows import Rows, listed

_UNEQUAL = 20
"""From this ratio of the largest to the smallest class on, a note says so."""
_FEW = 2
"""So few images may all have a class of their own."""


def check_labels(rows: Rows, splits: Sequence[SplitName], classes: Sequence[str]) -> list[str]:
    """Sentences about labels that are missing, alone in their class or few.

    Args:
        rows: the images as the source gives them.
        splits: the split of each image.
        classes: names of the classes.

    Raises:
        ValueError: a class has no training image, while other training images have labels, each image has a
            class of its own, or the names of two classes are one text.
    """
    labelled = len(rows) - rows.labels.count(None)
    if not labelled:
        return ["no image has a label: probes and `supervised` are skipped"]
    if len({label for label in rows.labels if label is not None}) == labelled > _FEW:
        raise ValueError(
            f"data set {rows.dataset}: there are as many classes as images with a label ({labelled:,}), so "
            "that these are no classes; `labelled: false` takes the images without labels"
        )
    if same := _alike(classes, _text):
        names = ", ".join(map(ascii, same[0]))
        raise ValueError(
            f"data set {rows.dataset}: the classes {names} differ only in blanks or in the Unicode form of "
            "their letters (NFC, NFD); give them one name"
        )
    notes = [
        f"classes with nearly the same name: {listed([repr(name) for name in names])}"
        for names in _alike(classes, _folded)
    ]
    if labelled < len(rows):
        without = Counter(s for s, label in zip(splits, rows.labels, strict=True) if label is None)
        parts = ", ".join(
            f"{without[split]:,} {name}" for split, name in SPLIT_WORDS.items() if without[split]
        )
        notes.append(f"{len(rows) - labelled:,} of {len(rows):,} images have no label: {parts} images")
    counts = {
        split: Counter(
            label for s, label in zip(splits, rows.labels, strict=True) if s == split and label is not None
        )
        for split in SPLIT_WORDS
    }
    for split, name in SPLIT_WORDS.items():
        if not counts[split] and split in splits:
            notes.append(f"no {name} image has a label, others have: probes and `supervised` are skipped")
    if counts["train"]:
        _check_training(rows, splits, classes, counts["train"])
        notes.extend(_of_classes(classes, counts))
    return notes


def _alike(classes: Sequence[str], form: Callable[[str], str]) -> list[list[str]]:
    """Names of classes that have the same form."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        found[form(name)].append(name)
    return [names for names in found.values() if len(names) > 1]


def _text(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _folded(name: str) -> str:
    """Without the difference of small and large letters, of `_`, `-` and a blank, and of 7 and 07."""
    text = _text(name).casefold().replace("_", " ").replace("-", " ")
    return text.lstrip("0") or "0" if text.isdecimal() else text


def _check_training(
    rows: Rows, splits: Sequence[SplitName], classes: Sequence[str], train: Counter[int]
) -> None:
    """Refuse a class without training images."""
    given, everywhere = Counter[int](), Counter[int]()
    for label, before in zip(rows.labels, rows.splits, strict=True):
        if label is not None:
            everywhere[label] += 1
            given[label] += before in ("train", None)
    for label, name in enumerate(classes):
        if train[label]:
            continue
        if given[label]:
            new = " and ".join(f"{SPLIT_WORDS[s]}" for s in ("val", "test") if s not in rows.splits)
            raise ValueError(
                f"data set {rows.dataset}: class {name!r} (label {label}) has no training image left when "
                f"images are kept for {new}: it has {counted(given[label], 'image')}"
            )
        other = "" if everywhere[label] else " and no test image"
        raise ValueError(
            f"data set {rows.dataset}: class {name!r} (label {label}) has no training image{other}"
        )


def _of_classes(classes: Sequence[str], counts: dict[SplitName, Counter[int]]) -> Iterator[str]:
    """Notes about the classes of labelled training images."""
    total = counts["train"] + counts["val"] + counts["test"]
    if len(classes) == 1:
        yield f"all images with a label are of one class, {classes[0]!r}: probes and `supervised` are skipped"
        return
    single = [repr(name) for label, name in enumerate(classes) if total[label] == 1]
    if single:
        have = "has one image, which is" if len(single) == 1 else "have one image each, which is"
        yield f"{counted(len(single), 'class')} {have} a training image: {listed(single)}"
    for split in ("val", "test"):
        absent = [
            repr(name) for label, name in enumerate(classes) if not counts[split][label] and total[label] > 1
        ]
        if counts[split] and absent:
            have = "has" if len(absent) == 1 else "have"
            yield f"{counted(len(absent), 'class')} {have} no {SPLIT_WORDS[split]} image: {listed(absent)}"
    ranked = sorted(range(len(classes)), key=lambda label: (counts["train"][label], -label))
    few, many = ranked[0], ranked[-1]
    if counts["train"][many] >= _UNEQUAL * counts["train"][few]:
        yield (
            f"classes are very unequal: {classes[many]!r} has "
            f"{counted(counts['train'][many], 'training image')}, {classes[few]!r} has "
            f"{counts['train'][few]:,}"
        )
