"""From a source to shards: WebDataset tars and the index.json that describes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from eqssl.config.jobs import ShardJob
from eqssl.config.sources import SplitName
from eqssl.data.shards.gathering import Gathered, gather
from eqssl.data.shards.identical import check_identical
from eqssl.data.shards.index import INDEX_FILE, SPLITS, UNLABELLED, Columns, ShardIndex, Tar
from eqssl.data.shards.intensities import Range
from eqssl.data.shards.labels import check_labels
from eqssl.data.shards.ranges import range_of
from eqssl.data.shards.splits import deal
from eqssl.data.shards.tar_writing import Place, PlainTar
from eqssl.data.sources import open_source
from eqssl.data.sources.base import Source
from eqssl.machine.files import atomic
from eqssl.machine.live.progress import track

Order = Int[np.ndarray, " n"]
Plan = dict[str, tuple[SplitName, Order]]
Written = list[tuple[Tar, list[Place]]]


class _Decided(NamedTuple):
    """What holds for the whole data set: the range of intensities, the tars, and sentences about both."""

    scale: Range | None
    plan: Plan
    notes: tuple[str, ...]


def write_shards(job: ShardJob, out: str | Path, processes: int = 1, raw: str = "") -> None:
    """Write the data set of a job into a folder, as `{split}-{number:05d}.tar` and index.json.

    Every image is cut to a square, resized and turned as `job.data` says, and cut to the inscribed disc if
    that is its mask. It is stored as `KEY.png`, or in the format of `job.data.store`, beside its label
    `KEY.cls` if it has one. A JPEG that needs no change is stored as it is, as `KEY.jpg`. Equal jobs on equal
    sources give equal bytes, for any number of processes. index.json is written last. If anything fails,
    everything that this call wrote is removed.

    Args:
        job: the data set and its settings.
        out: the folder.
        processes: how many prepare images; 1 stands for this one alone.
        raw: version of the files that the images come from (`eqssl.machine.raw_data`), for index.json.

    Raises:
        ValueError: an image, a label, a split or a setting is wrong; names the data set, the key and the
            reason.
        OSError: a file cannot be read or written, or a process was killed.
    """
    write_source(open_source(job.data), job, out, processes, raw)


def write_source(source: Source, job: ShardJob, out: str | Path, processes: int = 1, raw: str = "") -> None:
    """Like `write_shards`, for a source that is already open."""
    out = Path(out)
    created = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        scale = range_of(source, job, processes)
        with gather(source, job, out, scale, processes) as images:
            decided = _decide(source, job, images, scale)
            (out / INDEX_FILE).unlink(missing_ok=True)
            tars: Written = []
            for name, part in track(decided.plan.items(), len(decided.plan), f"writing {job.dataset}"):
                written.append(out / name)
                tars.append(_write_tar(out / name, images, *part))
            index = _index(source, job, images, decided, tars)
            index.model_copy(update={"made_of": {"raw": raw} if raw else {}}).write(out)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        if created:
            with suppress(OSError):  # another process may have written into it
                out.rmdir()
        raise
    for note in decided.notes:
        print(f"eqssl: note: {job.dataset}: {note}", file=sys.stderr, flush=True)


def _decide(source: Source, job: ShardJob, images: Gathered, scale: Range | None) -> _Decided:
    """Deal the images to splits and tars, and check labels and identical images."""
    rows, identical = images.rows, images.identical()
    splits, notes = deal(rows, identical, job.shards)
    notes += images.sizes.notes()
    notes += check_labels(rows, splits, source.classes)
    plan = dict(_plan(splits, job))
    notes += check_identical(rows, splits, identical, job.shards.most_shared)
    return _Decided(scale, plan, (*source.notes, *notes))


def _plan(splits: Sequence[SplitName], job: ShardJob) -> Iterator[tuple[str, tuple[SplitName, Order]]]:
    """Which images go into which tar: each split is shuffled once and divided into equal parts."""
    for number, split in enumerate(SPLITS):
        part = np.array([i for i, found in enumerate(splits) if found == split], dtype=np.int64)
        if len(part) < job.shards.count:
            raise ValueError(
                f"data set {job.dataset}: split {split} has {len(part)} images, "
                f"fewer than its {job.shards.count} tars (shards.count)"
            )
        random = np.random.Generator(np.random.Philox(key=[job.shards.seed, number]))
        for i, order in enumerate(np.array_split(random.permutation(part), job.shards.count)):
            yield f"{split}-{i:05d}.tar", (split, order)


def _write_tar(path: Path, images: Gathered, split: SplitName, order: Order) -> tuple[Tar, list[Place]]:
    """Write a tar, and say where the image files are in it."""
    places = []
    with atomic(path) as temporary, temporary.open("wb") as file:
        tar = PlainTar(file)
        for i in order:
            key, label = images.rows.keys[i], images.rows.labels[i]
            if label is not None:
                tar.add(f"{key}.cls", str(label).encode())
            places.append(tar.add(f"{key}.{images.endings[i]}", images.content(i)))
        size, sha256 = tar.close()
    return Tar(name=path.name, split=split, sha256=sha256, count=len(order), bytes=size), places


def _index(
    source: Source, job: ShardJob, images: Gathered, decided: _Decided, written: Written
) -> ShardIndex:
    rows: dict[SplitName, list[tuple[int, int, Place]]] = {split: [] for split in SPLITS}
    for number, (tar, places) in enumerate(written):
        order = decided.plan[tar.name][1].tolist()
        rows[tar.split].extend((i, number, place) for i, place in zip(order, places, strict=True))
    train = np.concatenate([order for split, order in decided.plan.values() if split == "train"])
    mean, std = images.mean_std(train)
    return ShardIndex(
        dataset=job.dataset,
        origin=source.origin,
        licence=source.licence,
        classes=source.classes,
        image_shape=images.shape,
        sizes=images.sizes.listed(),
        mean=mean,
        std=std,
        mask=job.data.mask,
        pixels="uint16" if images.deep else "uint8",
        range=decided.scale,
        notes=decided.notes,
        version=_version(),
        job=job.plain(),
        tars=tuple(tar for tar, _ in written),
        splits={split: _columns(part, images) for split, part in rows.items()},
    )


def _columns(rows: list[tuple[int, int, Place]], images: Gathered) -> Columns:
    numbers, tar, places = zip(*rows, strict=True)
    found = images.rows
    labels = [UNLABELLED if (label := found.labels[i]) is None else label for i in numbers]
    return Columns(
        keys=tuple(found.keys[i] for i in numbers),
        labels=tuple(labels),
        tar=tar,
        offset=tuple(place.offset for place in places),
        size=tuple(place.size for place in places),
        names=tuple(found.names[i] for i in numbers) if any(found.names) else (),
        groups=tuple(found.groups[i] or "" for i in numbers) if any(found.groups) else (),
    )


def _version() -> str:
    try:
        return version("eqssl")
    except PackageNotFoundError:  # run from a checkout
        return "0.1.0"
