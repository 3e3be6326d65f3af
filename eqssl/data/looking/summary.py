"""A survey, or an index of shards, as lines of plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from eqssl.config.plain import counted
from eqssl.config.sources import SplitName
from eqssl.data.looking.survey import Survey
from eqssl.data.shards.index import SPLITS, UNLABELLED, ShardIndex
from eqssl.data.shards.rows import listed

_MOST_CLASSES = 10
_MOST_BROKEN = 5
_BITS = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}
_CHANNELS = {1: "1 (gray)", 3: "3 (RGB)"}


def told(survey: Survey) -> Iterator[str]:
    """What was found."""
    count = len(survey.rows)
    yield f"{counted(count, 'image')}: {survey.origin}"
    splits = {split: number for split, number in survey.splits().items() if split is not None}
    yield f"splits: {_numbers(splits) if splits else 'none are given, sharding makes them'}"
    yield from _labels(survey)
    groups = survey.groups()
    if groups:
        yield f"groups: {len(groups):,}, with {_range(list(groups.values()), 'image')}"
    yield from _pixels(survey)
    yield from (f"note: {note}" for note in survey.notes)


def told_of_shards(index: ShardIndex) -> Iterator[str]:
    """What the shards hold."""
    channels, height, width = index.image_shape
    sizes = {split: len(columns) for split, columns in index.splits.items()}
    yield (
        f"{counted(sum(sizes.values()), 'image')} in {index.folder}: {_numbers(sizes)}; stored as {width} x "
        f"{height} pixels, {counted(channels, 'channel')}, {_BITS[index.pixels]}"
    )
    labels = Counter(label for columns in index.splits.values() for label in columns.labels)
    without = labels.pop(UNLABELLED, 0)
    yield from _classes(index.classes, labels, without)
    groups = Counter(group for columns in index.splits.values() for group in columns.groups if group)
    if groups:
        yield f"groups: {len(groups):,}, with {_range(list(groups.values()), 'image')}"
    yield from (f"note: {note}" for note in index.notes)


def _labels(survey: Survey) -> Iterator[str]:
    labels = survey.labels()
    without = labels.pop(None, 0)
    known = {label: number for label, number in labels.items() if label is not None}
    yield from _classes(survey.classes, known, without)


def _classes(names: Sequence[str], labels: Mapping[int, int], without: int) -> Iterator[str]:
    if not labels:
        yield "classes: none, no image has a label"
        return
    shown = ", ".join(
        f"{name!r} {labels.get(label, 0):,}" for label, name in enumerate(names[:_MOST_CLASSES])
    )
    rest = sum(number for label, number in labels.items() if label >= _MOST_CLASSES)
    more = f", and {counted(len(names) - _MOST_CLASSES, 'other')} {rest:,}" if rest else ""
    yield f"classes: {len(names):,}: {shown}{more}"
    if without:
        yield f"without a label: {counted(without, 'image')}"


def _pixels(survey: Survey) -> Iterator[str]:
    pixels, of = survey.pixels, len(survey.rows)
    every = "all of them" if survey.looked == of else f"{survey.looked:,} of them, spread evenly"
    yield f"pixels: looked at {every}"
    if len(pixels.sizes) == 1:
        ((width, height),) = pixels.sizes
        yield f"size: {width} x {height} pixels each"
    else:
        sides = [min(size) for size in pixels.sizes.elements()]
        square = sum(number for (width, height), number in pixels.sizes.items() if width == height)
        yield (
            f"size: {len(pixels.sizes):,} different ones; the shorter side has {_range(sides, 'pixel')}; "
            f"{square:,} of {pixels.seen:,} are square"
        )
    channels = {_CHANNELS.get(key, str(key)): number for key, number in sorted(pixels.channels.items())}
    yield f"channels: {_each(channels)}"
    depth = _each({_BITS[name]: number for name, number in sorted(pixels.types.items())})
    between = f", values from {pixels.low:g} to {pixels.high:g}" if pixels.low <= pixels.high else ""
    yield f"bits per channel: {depth}{between}"
    if pixels.transparent:
        found = counted(len(pixels.transparent), "image")
        yield f"transparent pixels: in {found}: {listed(pixels.transparent)}"
    if pixels.broken:
        shown = "; ".join(f"{name}: {reason}" for name, reason in pixels.broken[:_MOST_BROKEN])
        rest = len(pixels.broken) - _MOST_BROKEN
        yield (
            f"CANNOT BE READ: {len(pixels.broken):,} of {survey.looked:,}, and sharding stops at such an "
            f"image: {shown}{f'; and {rest:,} more' if rest > 0 else ''}"
        )


def _each(counts: Mapping[str, int]) -> str:
    """`8 bits`, or `8 bits in 20, 16 bits in 180`."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} in {number:,}" for name, number in counts.items())


def _numbers(splits: Mapping[SplitName, int]) -> str:
    return ", ".join(f"{splits[split]:,} {split}" for split in SPLITS if splits.get(split))


def _range(values: Sequence[int], thing: str) -> str:
    low, high = min(values), max(values)
    if low == high:
        return f"{counted(low, thing)} each"
    return f"{low:,} to {high:,} {thing}s, median {median(values):,.0f}"
