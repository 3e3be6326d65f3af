"""Features of a frozen encoder, for every image of a data set and every view of its test images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.config.jobs import FeaturesJob, TransferJob
from eqssl.config.masks import Mask, views_refusal
from eqssl.data.loading.batches import Split, load_split
from eqssl.data.loading.location import DEFAULT, Budget, open_shards
from eqssl.data.shards.index import SPLITS, ShardIndex
from eqssl.data.views.normalise import normalise
from eqssl.encoders import load_encoder
from eqssl.evaluation import equivariance, turned
from eqssl.evaluation.amounts import batch_size, sample, turned_images
from eqssl.evaluation.belonging import check_belongs
from eqssl.evaluation.feature_columns import feature_columns
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.evaluation.parquet import feature_writer
from eqssl.evaluation.targets import check_target, described
from eqssl.machine import provenance
from eqssl.machine.cell_numbers import check_identity
from eqssl.machine.live.progress import track
from eqssl.machine.records import Record, read_record, write_record
from eqssl.machine.steps import features_code
from eqssl.training.device import choose_device, reproducible

if TYPE_CHECKING:
    from eqssl.encoders import Encoder


class _Task(NamedTuple):
    """A batch of work: some images of a split under one view, with the element and the angle of each."""

    view: str
    rows: slice
    elements: Int[np.ndarray, " rows"]
    angles: Float[np.ndarray, " rows"]


def extract(
    job: FeaturesJob,
    shards: str | Path,
    encoder: str | Path,
    out: str | Path,
    device: str = "auto",
    cell: str | None = None,
    budget: Budget = DEFAULT,
) -> None:
    """Write features/{train,val,test,turned}.parquet into `out`, and equivariance.json, the step's record.

    The encoder is frozen: in eval mode, without gradients, always on one thread, so that the same inputs
    give the same numbers on a CPU whatever the number of its cores. Memory does not grow with the number or
    the size of the images: see `eqssl.evaluation.amounts`.

    With a `TransferJob`, the images are those of another data set than the encoder was trained on. They are
    cut and normalised as the encoder's own were, and the record describes that data set under `target`.

    Args:
        job: stages, views of the test images and seed; for a transfer the other data set too.
        shards: folder of the data set's shards, or its address.
        encoder: folder of encoder.safetensors and encoder.json.
        out: folder to write into.
        device: `auto`, `cpu`, `cuda` ...
        cell: digest of the job that must have made the encoder; None for any.
        budget: how much loading may keep in the scratch folder; no result depends on it.

    Raises:
        ValueError: the encoder was not made of these shards or not by that job, it cannot read the images of
            a transfer, it has fewer stages than asked for, a feature is not finite, or a file is damaged; the
            message names file, key and reason.
        OSError: a file is missing or cannot be written.
    """
    place = choose_device(device)
    encoder, out = Path(encoder), Path(out)
    record = read_record(encoder / "encoder.json", ("job", "data")).check_job(cell)
    check_identity(record, record.job)
    network = load_encoder(encoder).to(place)
    _check(job, network, record, open_shards(shards, budget).index)  # before any image is read
    splits = [load_split(shards, name, budget) for name in SPLITS]
    index = splits[0].index
    test, size = splits[-1], batch_size(network, index.image_shape)
    count = _turned_images(job, network, splits)
    work = [(split, _tasks(job, split, size), f"features/{split.name}.parquet") for split in splits]
    work.append((test, _turned_tasks(count, network.mask, size), turned.FILE))
    with _frozen(place):
        info = _describe(job, network, record, splits[0])
        for split, tasks, file in work:
            _write(
                network, split, tasks, turned.kept(info) if file == turned.FILE else info, out / file, place
            )
        measured = _measured(job, network, splits, place)
    rows: dict[str, int] = {split.name: len(split) for split in splits} | {"turned": count}
    made_of = {"encoder": record.seal, "data": index.seal}
    made = {"device": place.type, "versions": provenance.record()}
    target = described(index) if isinstance(job, TransferJob) else {}
    values = {**measured, **target, "job": job.plain(), "rows": rows, **made}
    write_record(out / "equivariance.json", values, [file for *_, file in work], made_of)


def _tasks(job: FeaturesJob, split: Split, size: int) -> list[_Task]:
    """The work of a split's feature file: images as stored, and the test images in every view."""
    views = job.features.views if split.name == "test" else ("stored",)
    elements, angles = draw_moves(len(split), job.features.seed)
    return [
        _Task(view, rows, elements[rows], angles[rows])
        for view in views
        for rows in _slices(len(split), size)
    ]


def _turned_tasks(images: int, mask: Mask, size: int) -> list[_Task]:
    """The work of the file of turned images: the first test images, under one move after another."""
    return [
        _Task(
            move.view,
            rows,
            np.full(rows.stop - rows.start, move.element),
            np.full(rows.stop - rows.start, move.degrees, np.float32),
        )
        for move in turned.moves(mask)
        for rows in _slices(images, size)
    ]


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _write(
    network: Encoder, split: Split, tasks: Sequence[_Task], info: FeatureInfo, path: Path, place: torch.device
) -> None:
    """One feature file, with the stages that its metadata name."""
    read = zip(tasks, split.in_order(task.rows for task in tasks), strict=True)
    with feature_writer(path, info) as writer:
        for task, images in track(read, len(tasks), f"features of {path.stem}"):
            rows = task.rows
            moved = view_of(
                images.to(place),
                task.view,
                torch.from_numpy(task.elements).to(place),
                torch.from_numpy(task.angles).to(place),
                network.mask,
            )
            normalised = normalise(moved, network.mean, network.std)
            writer.write(
                split=split.name,
                view=task.view,
                keys=split.keys[rows],
                labels=split.labels[rows],
                features=feature_columns(network, normalised, len(info.fields)),
                angles=task.angles if task.view == "angle" else None,
                elements=task.elements if task.view == "grid" else None,
            )


def _measured(
    job: FeaturesJob, network: Encoder, splits: Sequence[Split], place: torch.device
) -> dict[str, Any]:
    """Equivariance and retrieval on the first test images."""
    test = splits[-1]
    shape = test.index.image_shape
    sizes = sample(
        side=shape[1],
        order=network.input_group.order,
        angles=len(equivariance.DEGREES),
        passes=_passes(job, splits),
        image_bytes=math.prod(shape) * (1 if test.index.pixels == "uint8" else 4),
        batch=batch_size(network, shape),
    )
    (images,) = test.in_order([slice(0, max(sizes[:3]))])
    return equivariance.measure(network, images.to(place), job.features.seed, sizes)


def _passes(job: FeaturesJob, splits: Sequence[Split]) -> int:
    """Images of the files of the splits, in all their views."""
    return sum(map(len, splits)) + (len(job.features.views) - 1) * len(splits[-1])


def _turned_images(job: FeaturesJob, network: Encoder, splits: Sequence[Split]) -> int:
    """How many of the first test images the file of turned images has."""
    wanted, passes = min(job.features.turned, len(splits[-1])), _passes(job, splits)
    return turned_images(wanted, splits[-1].index.image_shape[1], len(turned.moves(network.mask)), passes)


def _describe(job: FeaturesJob, network: Encoder, record: Record, split: Split) -> FeatureInfo:
    blank = torch.zeros(1, *network.image_shape, device=next(network.parameters()).device)
    kept: Sequence[Tensor] = network.stages(blank)[::-1][: job.features.stages]
    return FeatureInfo(
        encoder=record.values["weights_sha256"],
        data=split.index.digest,
        group=network.shape.group,
        orders=tuple(stage.shape[2] for stage in kept),
        fields=tuple(stage.shape[1] for stage in kept),
        classes=split.index.classes,
        code=features_code(type(network).__module__),
    )


def _check(job: FeaturesJob, network: Encoder, record: Record, index: ShardIndex) -> None:
    """Refuse images that the encoder was not made for, and settings that do not fit both."""
    if isinstance(job, TransferJob):
        check_target(job, network, record, index)
    else:
        check_belongs(network, record, index)
    refused = views_refusal(network.mask, job.features.views)
    if refused:
        trained = record.values["dataset"]
        raise ValueError(f"features.views: given 'angle' with {trained} of mask 'none': {refused}")
    blank = torch.zeros(1, *network.image_shape, device=next(network.parameters()).device)
    with torch.no_grad():
        stages = len(network.stages(blank))
    if job.features.stages > stages:
        raise ValueError(
            f"features.stages: given {job.features.stages}, allowed: 1 to {stages}, "
            f"the stages of {record.path}"
        )


@contextmanager
def _frozen(place: torch.device) -> Iterator[None]:
    """No gradients, one thread and full float32 products, so that equivariance is exact up to rounding."""
    with (
        torch.inference_mode(),
        reproducible(place, threads=1),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
