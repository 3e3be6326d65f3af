"""What shards are no training images for, known from index.json alone."""

from __future__ import annotations

from eqssl.config.jobs import PretrainJob
from eqssl.config.masks import group_refusal, turn_refusal
from eqssl.data.shards.index import INDEX_FILE, UNLABELLED, ShardIndex


def check_fitness(job: PretrainJob, index: ShardIndex) -> None:
    """Refuse shards that a job cannot train on, before anything is built.

    Raises:
        ValueError: the pretext needs labels that are not there, or images without a mask would be turned off
            the pixel grid; names the file, the data set and the reason.
    """
    where = f"{index.folder / INDEX_FILE}: data set {index.dataset}"
    reason = missing_labels(index) if job.task.needs_labels else None
    if reason:
        raise ValueError(f"{where}: {reason}, but pretext {job.pretext!r} learns from labels")
    reason = group_refusal(index.mask, job.group)
    if reason:
        raise ValueError(f"{where} has mask 'none', but group {job.group!r} is given: {reason}")
    reason = turn_refusal(index.mask, job.views.turn)
    if reason:
        raise ValueError(f"{where} has mask 'none', but views.turn {job.views.turn!r} is given: {reason}")


def missing_labels(index: ShardIndex) -> str | None:
    """Why a classifier cannot be trained on the training images; None if it can."""
    labels = index.splits["train"].labels
    absent = labels.count(UNLABELLED)
    if not index.classes or absent == len(labels):
        return "no training image has a label"
    if len(index.classes) == 1:
        return f"there is only one class, {index.classes[0]!r}"
    if absent:
        return f"{absent:,} of its {len(labels):,} training images have no label"
    return None
