"""A user's own WebDataset tars."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eqssl.config.plain import parse_json, shown
from eqssl.config.sources import SplitName, WebDatasetSettings
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.base import EVERY, Sample
from eqssl.data.sources.files.split_files import found_files
from eqssl.data.sources.files.split_names import split_of_value
from eqssl.data.sources.files.tar_samples import OpenTar, TarSample, opened_tar
from eqssl.data.sources.labels import Raw, class_indices, plain_values

_IMAGES = ("jpg", "jpeg", "png", "tif", "tiff", "webp", "npy")
_TEXT = 2**16
"""Bytes of a label or a JSON file."""
_MOST_SAMPLES = 10**8
_LONGEST_KEY = 80
_MOST_SHOWN = 20


@dataclass(frozen=True)
class _Row:
    """What is kept of each image: its place in the tars, and what its sample says of it."""

    key: str
    split: SplitName | None
    label: Raw
    group: str | None


class WebDatasetTars:
    """Images in `settings.path`: a folder of tars, or one tar. They are read in order and never extracted.

    Members with the same name up to the first dot are a sample. Its image is the only member with the
    ending of an image or npy, or the one with the ending `settings.image`.

    Raises:
        ValueError: a tar is damaged, a sample is ambiguous, or a key occurs twice; names tar and member.
        OSError: a tar cannot be read.
    """

    licence = "not stated in the tars"

    def __init__(self, settings: WebDatasetSettings) -> None:
        self._settings = settings
        found = found_files(Path(settings.path), (".tar",), settings.files)
        self._files = found.files
        self._left_out: dict[str, list[str]] = {}
        self._others: Counter[str] = Counter()
        self._imageless: set[tuple[Path, str]] = set()
        self._endings: Counter[str] = Counter()
        self._rows = [list(self._scan(path, split)) for path, split in self._files]
        rows = [row for part in self._rows for row in part]
        if not rows:
            raise ValueError(f"{settings.path}: has no images in its tars{self._hint()}")
        self._check_keys()
        self._check_wanted()
        try:
            self.classes, (labels,) = class_indices([[row.label for row in rows]])
        except ValueError as error:
            raise ValueError(f"{settings.path}: {error}") from None
        self._labels = labels or []
        self.origin = f"WebDataset tars {shown_names(path.name for path, _ in self._files)}"
        self.notes = (*found.all_notes(), *self._noted())

    def count(self) -> int:
        """Number of images."""
        return sum(map(len, self._rows))

    def samples(self) -> Iterator[Sample]:
        """The images in the order of the tars and of their members.

        Raises:
            ValueError: a tar is damaged or was changed meanwhile; names tar and member.
        """
        return self.outline(EVERY)

    def outline(self, wanted: Container[int]) -> Iterator[Sample]:
        """Like `samples`, with the images of these numbers alone."""
        numbers: Counter[SplitName | None] = Counter()
        labels = iter(self._labels)
        for (path, _), rows in zip(self._files, self._rows, strict=True):
            with opened_tar(path) as tar:
                found = (sample for sample in tar.samples() if self._image(path, sample) is not None)
                for row, sample in zip(rows, found, strict=True):
                    ending = self._image(path, sample)
                    if sample.key != row.key or ending is None:
                        raise ValueError(f"{path}: {sample.key}: was changed while it was read")
                    yield Sample(
                        _slug(row.key, row.split),
                        tar.content(sample.members[ending]) if numbers.total() in wanted else b"",
                        next(labels),
                        row.split,
                        numbers[row.split],
                        group=row.group,
                        name=f"{path.name}/{sample.members[ending].name}",
                    )
                    numbers[row.split] += 1

    def _scan(self, path: Path, split: SplitName | None) -> Iterator[_Row]:
        with opened_tar(path) as tar:
            for count, sample in enumerate(tar.samples()):
                if count >= _MOST_SAMPLES:
                    raise ValueError(f"{path}: has more than {_MOST_SAMPLES} samples")
                if self._image(path, sample) is None:
                    self._imageless.add((path, sample.key))
                    for member in sample.members.values():
                        self._left("without an image", f"{path.name}/{member.name}")
                    self._others.update(list(sample.members))
                    continue
                yield self._row(tar, sample, split)
            for name in tar.skipped:
                self._left("with a name without a dot or nothing before it", f"{path.name}/{name}")

    def _row(self, tar: OpenTar, sample: TarSample, split: SplitName | None) -> _Row:
        wanted = self._settings
        used = {self._image(tar.path, sample)}
        entries: dict[str, Raw] = {}
        default = "cls" if "cls" in sample.members else None
        for name, place in (
            ("label", (wanted.label or default) if wanted.labelled else None),
            ("split", wanted.split),
            ("group", wanted.group),
        ):
            if place is not None:
                entries[name] = self._entry(tar, sample, place)
                used.add(place.partition(":")[0])
        self._endings.update(ending for ending in sample.members if ending not in used)
        if wanted.split is not None:
            text = entries["split"]
            split = split_of_value(text)
            if split is None:
                raise ValueError(
                    f"{tar.path}: {sample.key}: {wanted.split}: given {shown(text)}, "
                    "allowed: train, val, test"
                )
        group = entries.get("group")
        return _Row(sample.key, split, entries.get("label"), None if group is None else str(group))

    def _image(self, path: Path, sample: TarSample) -> str | None:
        """The ending of a sample's image; None if it has none."""
        if self._settings.image is not None:
            wanted = self._settings.image.lower().removeprefix(".")
            return wanted if wanted in sample.members else None
        found = [ending for ending in sample.members if ending in _IMAGES]
        if len(found) > 1:
            raise ValueError(
                f"{path}: {sample.key}: has the images {', '.join(sorted(found))}; name the ending of one "
                "with `image`"
            )
        return found[0] if found else None

    @staticmethod
    def _entry(tar: OpenTar, sample: TarSample, place: str) -> Raw:
        """A label, split or group: the text of a member, or a value in a JSON member; None if not there."""
        ending, _, field = place.partition(":")
        member = sample.members.get(ending.lower())
        if member is None:
            return None
        where = f"{tar.path}: {member.name}"
        try:
            text = tar.content(member, _TEXT).decode("utf-8").strip()
        except UnicodeDecodeError:
            raise ValueError(f"{where}: is not UTF-8") from None
        value: Any = text
        if field:
            value = parse_json(text, where)
            for part in field.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        elif re.fullmatch(r"[+-]?\d{1,18}", text):
            value = int(text)
        if value is None:
            return None
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, int | float | str):
            raise ValueError(f"{where}: {field}: given {shown(value)}, allowed: a number or a text")
        try:
            return plain_values(np.array([value]))[0]
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from None

    def _check_keys(self) -> None:
        known: dict[tuple[str, SplitName | None], Path] = {}
        for (path, _), rows in zip(self._files, self._rows, strict=True):
            for row in rows:
                if (other := known.get((row.key, row.split))) is not None:
                    place = "twice in this tar" if other == path else f"also in {other.name}"
                    raise ValueError(f"{path}: {row.key}: the key is {place}")
                known[row.key, row.split] = path
                if (path, row.key) in self._imageless:
                    raise ValueError(
                        f"{path}: {row.key}: its members do not follow each other; write them in the order "
                        "of their names, as `tar --sort=name` does"
                    )

    def _check_wanted(self) -> None:
        rows = [row for part in self._rows for row in part]
        label = self._settings.label if self._settings.labelled else None
        if label is not None and all(row.label is None for row in rows):
            raise ValueError(f"{self._settings.path}: label: no sample has {label!r}")
        if self._settings.group is not None and all(row.group is None for row in rows):
            raise ValueError(f"{self._settings.path}: group: no sample has {self._settings.group!r}")

    def _hint(self) -> str:
        """What else the tars have."""
        if not self._others:
            return ""
        found = ", ".join(f"{ending} ({count})" for ending, count in self._others.most_common(_MOST_SHOWN))
        return (
            f", allowed: {', '.join(_IMAGES)}; the endings, from the first dot of a name, are {found}: "
            "name one with `image`"
        )

    def _left(self, reason: str, name: str) -> None:
        self._left_out.setdefault(reason, []).append(name)

    def _noted(self) -> Iterator[str]:
        for reason, found in self._left_out.items():
            yield f"Left out, {reason}: {shown_names(found)}."
        if self._endings:
            listed = ", ".join(
                f"{ending} ({count})" for ending, count in sorted(self._endings.items())[:_MOST_SHOWN]
            )
            yield f"Members with these endings were left out: {listed}."
        missing = sum(row.label is None for part in self._rows for row in part)
        if self._settings.labelled and missing:
            yield f"{missing} of {self.count()} images have no label."


def _slug(key: str, split: SplitName | None) -> str:
    """A key of small letters, digits, `_` and `-`; a hash is added if the tar's key has something else."""
    simple = re.sub(r"[^0-9a-z_-]+", "-", key.lower())
    if simple != key or len(key) > _LONGEST_KEY:
        simple = f"{simple[-_LONGEST_KEY + 12 :]}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    return f"{split}-{simple}" if split else simple
