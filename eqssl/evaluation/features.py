"""Features of a frozen encoder, for every image of a data set and every view of its test images."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from eqssl.config.jobs import FeaturesJob
from eqssl.config.masks import views_refusal
from eqssl.data.loading.batches import Split, load_split
from eqssl.data.loading.location import DEFAULT, Budget
from eqssl.data.shards.index import SPLITS, ShardIndex
from eqssl.data.views.normalise import normalise
from eqssl.encoders import load_encoder
from eqssl.evaluation import equivariance
from eqssl.evaluation.amounts import batch_size, sample
from eqssl.evaluation.feature_info import FeatureInfo
from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.evaluation.parquet import feature_writer
from eqssl.machine.cell_numbers import check_identity
from eqssl.machine.live.progress import track
from eqssl.machine.records import Record, read_record, write_record
from eqssl.machine.steps import features_code
from eqssl.training.device import choose_device, reproducible

if TYPE_CHECKING:
    from eqssl.encoders import Encoder


class _Task(NamedTuple):
    """A batch of work: some images of a split under one view."""

    split: Split
    view: str
    rows: slice


def extract(
    job: FeaturesJob,
    shards: str | Path,
    encoder: str | Path,
    out: str | Path,
    device: str = "auto",
    cell: str | None = None,
    budget: Budget = DEFAULT,
) -> None:
    """Write features/{train,val,test}.parquet into `out`, and equivariance.json, the record of this step.

    The encoder is frozen: in eval mode, without gradients, always on one thread, so that the same inputs
    give the same numbers on a CPU whatever the number of its cores. Memory does not grow with the number or
    the size of the images: see `eqssl.evaluation.amounts`.

    Args:
        job: stages, views of the test images and seed.
        shards: folder of the data set's shards, or its address.
        encoder: folder of encoder.safetensors and encoder.json.
        out: folder to write into.
        device: `auto`, `cpu`, `cuda` ...
        cell: digest of the job that must have made the encoder; None for any.
        budget: how much loading may keep in the scratch folder; no result depends on it.

    Raises:
        ValueError: the encoder was not made of these shards or not by that job, it has fewer stages than
            asked for, a feature is not finite, or a file is damaged; the message names file, key and reason.
        OSError: a file is missing or cannot be written.
    """
    place = choose_device(device)
    encoder, out = Path(encoder), Path(out)
    record = read_record(encoder / "encoder.json", ("job", "data")).check_job(cell)
    check_identity(record, record.job)
    network = load_encoder(encoder).to(place)
    splits = [load_split(shards, name, budget) for name in SPLITS]
    _check(job, network, record, splits[0].index)
    files = {split.name: f"features/{split.name}.parquet" for split in splits}
    with _frozen(place):
        info = _describe(job, network, record, splits[0])
        for split in splits:
            _write(job, network, split, info, out / files[split.name], place)
        measured = _measured(job, network, splits, place)
    rows = {split.name: len(split) for split in splits}
    made_of = {"encoder": record.seal, "data": splits[0].index.seal}
    values = {**measured, "job": job.plain(), "rows": rows}
    write_record(out / "equivariance.json", values, files.values(), made_of)


def _write(
    job: FeaturesJob, network: Encoder, split: Split, info: FeatureInfo, path: Path, place: torch.device
) -> None:
    """One feature file: the split's images as stored, and the test images in every view."""
    views = job.features.views if split.name == "test" else ("stored",)
    elements, angles = draw_moves(len(split), job.features.seed)
    size = batch_size(network)
    tasks = [
        _Task(split, view, slice(start, min(start + size, len(split))))
        for view in views
        for start in range(0, len(split), size)
    ]
    read = zip(tasks, split.in_order(task.rows for task in tasks), strict=True)
    with feature_writer(path, info) as writer:
        for task, images in track(read, len(tasks), f"features of {split.name}"):
            rows = task.rows
            moved = view_of(
                images.to(place),
                task.view,
                torch.from_numpy(elements[rows]).to(place),
                torch.from_numpy(angles[rows]).to(place),
                network.mask,
            )
            writer.write(
                split=split.name,
                view=task.view,
                keys=split.keys[rows],
                labels=split.labels[rows],
                features=_columns(network, moved, len(info.fields)),
                angles=angles[rows] if task.view == "angle" else None,
                elements=elements[rows] if task.view == "grid" else None,
            )


def _measured(
    job: FeaturesJob, network: Encoder, splits: Sequence[Split], place: torch.device
) -> dict[str, Any]:
    """Equivariance and retrieval on the first test images."""
    test, views = splits[-1], len(job.features.views)
    shape = network.image_shape
    sizes = sample(
        side=shape[1],
        order=network.input_group.order,
        angles=len(equivariance.DEGREES),
        passes=sum(map(len, splits)) + (views - 1) * len(test),
        image_bytes=math.prod(shape) * (1 if test.index.pixels == "uint8" else 4),
        batch=batch_size(network),
    )
    (images,) = test.in_order([slice(0, max(sizes[:3]))])
    return equivariance.measure(network, images.to(place), job.features.seed, sizes)


def _columns(network: Encoder, images: Tensor, kept: int) -> dict[str, Any]:
    """Feature columns of a batch: both features of the last `kept` stages, the last stage first."""
    stages = network.stages(normalise(images, network.mean, network.std))
    columns = {}
    for number, regular in enumerate(reversed(stages[-kept:]), start=1):
        suffix = "" if number == 1 else f"_{number}"
        columns[f"invariant{suffix}"] = network.pool(regular).float().cpu().numpy()
        columns[f"regular{suffix}"] = regular.flatten(1).float().cpu().numpy()
    return columns


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
    shape = network.shape
    pairs = {
        "image_shape": (shape.image, index.image_shape),
        "data": (record.values["data"], index.digest),
        "mean": (shape.mean, index.mean),
        "std": (shape.std, index.std),
        "mask": (shape.mask, index.mask),
    }
    for key, (expected, given) in pairs.items():
        if expected != given:
            raise ValueError(
                f"{record.path}: {key}: {_shown(expected)}, but {index.folder} has {_shown(given)}"
            )
    refused = views_refusal(index.mask, job.features.views)
    if refused:
        raise ValueError(f"features.views: given 'angle' with {index.dataset} of mask 'none': {refused}")
    blank = torch.zeros(1, *shape.image, device=next(network.parameters()).device)
    with torch.no_grad():
        stages = len(network.stages(blank))
    if job.features.stages > stages:
        raise ValueError(
            f"features.stages: given {job.features.stages}, allowed: 1 to {stages}, "
            f"the stages of {record.path}"
        )


def _shown(value: Any) -> str:
    return json.dumps(value)


@contextmanager
def _frozen(place: torch.device) -> Iterator[None]:
    """No gradients, one thread and full float32 products, so that equivariance is exact up to rounding."""
    with (
        torch.inference_mode(),
        reproducible(place, threads=1),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
