"""The target of a transfer: a data set whose images a frozen encoder of another one reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eqssl.config.jobs import TransferJob
from eqssl.config.settings import digest
from eqssl.data.shards.index import INDEX_FILE, UNLABELLED, ShardIndex
from eqssl.encoders.windows import check_windows
from eqssl.machine.records import Record

if TYPE_CHECKING:
    from eqssl.encoders import Encoder


def check_target(job: TransferJob, network: Encoder, record: Record, index: ShardIndex) -> None:
    """Refuse images that an encoder cannot read, or that no probe can be fitted on.

    The side may differ from that of the images that the encoder was trained on: it is convolutional and
    averages over the plane. It must only be one at which every window keeps the symmetry exact.

    Args:
        job: the transfer.
        network: the encoder.
        record: its encoder.json.
        index: index of the target's shards.

    Raises:
        ValueError: names the file, the key, the reason and what to do.
    """
    where = index.folder / INDEX_FILE
    made_by = digest(index.job)
    if (index.dataset, made_by) != (job.dataset, job.data):
        raise ValueError(
            f"{where}: job: {index.dataset} of job {made_by}, but {job.dataset} of job {job.data} is wanted: "
            "mixed up"
        )
    (channels, side, _), trained = index.image_shape, network.image_shape[0]
    if channels != trained:
        raise ValueError(
            f"{where}: image_shape: {channels} channels, but the images of {record.path} have {trained}; "
            f"allowed: shards made with `channels: {trained}` in the entry of {index.dataset}"
        )
    try:
        check_windows(type(network), replace(network.shape, image=index.image_shape))
    except ValueError as error:
        raise ValueError(
            f"{where}: image_shape: {side} pixels for {record.path}: {error}; "
            f"set `size` in the entry of {index.dataset}"
        ) from None
    labels = index.splits["train"].labels
    if not index.classes or set(labels) <= {UNLABELLED}:
        raise ValueError(f"{where}: classes: no training image has a label; allowed: a data set with labels")


def described(index: ShardIndex) -> dict[str, Any]:
    """What the records of a transfer say of its target.

    Returns:
        {"target": {dataset, data (the digest of its index), origin, licence, image_shape, pixels, mask}}
    """
    values = index.model_dump(
        mode="json", include={"dataset", "origin", "licence", "image_shape", "pixels", "mask"}
    )
    return {"target": {**values, "data": index.digest}}
