"""From a source to shards: WebDataset tars and the index.json that describes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from jaxtyping import Int
from webdataset import TarWriter

from eqssl.config.jobs import ShardJob
from eqssl.config.sources import SplitName
from eqssl.data.shards.gathering import Gathered, gather
from eqssl.data.shards.index import INDEX_FILE, SPLITS, UNLABELLED, Columns, ShardIndex, Tar
from eqssl.data.shards.ustar import members
from eqssl.data.sources import open_source
from eqssl.data.sources.base import Source
from eqssl.machine.files import atomic, sha256
from eqssl.machine.live.progress import track

Order = Int[np.ndarray, " n"]


def write_shards(job: ShardJob, out: str | Path) -> None:
    """Write the data set of a job into a folder, as `{split}-{number:05d}.tar` and index.json.

    Every image is cut to a square, resized and turned as `job.data` says, cut to the inscribed disc and
    stored as `KEY.png` beside its label `KEY.cls`. Equal jobs on equal sources give equal bytes. index.json
    is written last. If anything fails, everything that this call wrote is removed.

    Raises:
        ValueError: an image, a label or a setting is wrong; names the data set, the key and the reason.
        OSError: a file cannot be read or written.
    """
    write_source(open_source(job.data), job, out)


def write_source(source: Source, job: ShardJob, out: str | Path) -> None:
    """Like `write_shards`, for a source that is already open."""
    out = Path(out)
    created = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        with gather(source, job, out) as images:
            _check_classes(images, source.classes, job.dataset)
            tars = dict(_plan(images, job))
            (out / INDEX_FILE).unlink(missing_ok=True)
            for name, (_, order) in track(tars.items(), len(tars), f"writing {job.dataset}"):
                written.append(out / name)
                _write_tar(out / name, images, order)
            _index(out, source, job, images, tars).write(out)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        if created:
            with suppress(OSError):  # another process may have written into it
                out.rmdir()
        raise


def validation_part(keys: Sequence[str], labels: Sequence[int | None], share: float) -> set[int]:
    """Choose the validation images among the training images, class by class, by their keys alone.

    Of the n images of a class, those with the round(share * n) smallest SHA-256 hashes of their keys.

    Returns:
        Positions in `keys`.
    """
    members_of: dict[int | None, list[tuple[bytes, int]]] = {}
    for i, (key, label) in enumerate(zip(keys, labels, strict=True)):
        members_of.setdefault(label, []).append((hashlib.sha256(key.encode()).digest(), i))
    return {i for part in members_of.values() for _, i in sorted(part)[: round(share * len(part))]}


def _check_classes(images: Gathered, classes: Sequence[str], dataset: str) -> None:
    counts = {"train": np.zeros(len(classes), int), "test": np.zeros(len(classes), int)}
    for label, split in zip(images.labels, images.splits, strict=True):
        if label is not None:
            counts["test" if split == "test" else "train"][label] += 1
    for label, name in enumerate(classes):
        if counts["train"][label] == 0:
            other = "" if counts["test"][label] else " and no test image"
            raise ValueError(
                f"data set {dataset}: class {name!r} (label {label}) has no training image{other}"
            )


def _plan(images: Gathered, job: ShardJob) -> Iterator[tuple[str, tuple[SplitName, Order]]]:
    """Which images go into which tar: each split is shuffled once and divided into equal parts."""
    train = [i for i, split in enumerate(images.splits) if split == "train"]
    keys, labels = [images.keys[i] for i in train], [images.labels[i] for i in train]
    validation = validation_part(keys, labels, job.shards.validation)
    parts: dict[SplitName, list[int]] = {
        "train": [i for position, i in enumerate(train) if position not in validation],
        "val": [i for position, i in enumerate(train) if position in validation],
        "test": [i for i, split in enumerate(images.splits) if split == "test"],
    }
    for label in set(labels) - {images.labels[i] for i in parts["train"]}:
        raise ValueError(
            f"data set {job.dataset}: label {label} has no training image left when the share "
            f"{job.shards.validation:g} is kept for validation"
        )
    for number, split in enumerate(SPLITS):
        part = np.array(parts[split], dtype=np.int64)
        if len(part) < job.shards.count:
            raise ValueError(
                f"data set {job.dataset}: split {split} has {len(part)} images, "
                f"fewer than its {job.shards.count} tars (shards.count)"
            )
        random = np.random.Generator(np.random.Philox(key=[job.shards.seed, number]))
        for i, order in enumerate(np.array_split(random.permutation(part), job.shards.count)):
            yield f"{split}-{i:05d}.tar", (split, order)


def _write_tar(path: Path, images: Gathered, order: Order) -> None:
    with (
        atomic(path) as temporary,
        temporary.open("wb") as file,
        # an integer mtime: with None every run differs, with a float PAX headers double the size of the tar
        TarWriter(file, encoder=False, mtime=0) as tar,
    ):
        for i in order:
            label = {"cls": str(images.labels[i]).encode()} if images.labels[i] is not None else {}
            tar.write({"__key__": images.keys[i], "png": images.png(i), **label})


def _index(
    out: Path, source: Source, job: ShardJob, images: Gathered, plan: dict[str, tuple[SplitName, Order]]
) -> ShardIndex:
    tars: list[Tar] = []
    rows: dict[SplitName, list[tuple[str, int, int, int, int]]] = {split: [] for split in SPLITS}
    for name, (split, order) in plan.items():
        path = out / name
        places = {member.name: member for member in members(path)}
        for i in order:
            key = images.keys[i]
            place = places[f"{key}.png"]
            label = images.labels[i]
            stated = UNLABELLED if label is None else label
            rows[split].append((key, stated, len(tars), place.offset, place.size))
        size = path.stat().st_size
        tars.append(Tar(name=name, split=split, sha256=sha256(path), count=len(order), bytes=size))
    train = np.concatenate([order for split, order in plan.values() if split == "train"])
    mean, std = images.mean_std(train)
    return ShardIndex(
        dataset=job.dataset,
        origin=source.origin,
        licence=source.licence,
        classes=source.classes,
        image_shape=images.shape,
        mean=mean,
        std=std,
        mask=job.data.mask,
        notes=source.notes,
        version=_version(),
        job=job.plain(),
        tars=tuple(tars),
        splits={split: _columns(part) for split, part in rows.items()},
    )


def _columns(rows: list[tuple[str, int, int, int, int]]) -> Columns:
    keys, labels, tar, offset, size = zip(*rows, strict=True)
    return Columns(keys=keys, labels=labels, tar=tar, offset=offset, size=size)


def _version() -> str:
    try:
        return version("eqssl")
    except PackageNotFoundError:  # run from a checkout
        return "0.1.0"
