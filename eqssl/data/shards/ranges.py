"""The range of intensities of a data set, as its settings give it or as its training images have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from eqssl.config.jobs import ShardJob
from eqssl.config.sources import Percentiles
from eqssl.data.images.pixels import Pixels
from eqssl.data.shards.identical import same_numbers
from eqssl.data.shards.intensities import Range, percentile_range
from eqssl.data.shards.preparing import name_of
from eqssl.data.shards.rows import Rows
from eqssl.data.shards.splits import deal
from eqssl.data.shards.stored_form import prepared
from eqssl.data.shards.workers import InOrder
from eqssl.data.sources.base import Sample, Source
from eqssl.machine.live.progress import track

T = TypeVar("T")


def range_of(source: Source, job: ShardJob, processes: int) -> Range | None:
    """The range that the images of a data set are brought to.

    Percentiles are those of the training images alone, so which these are is found out in a pass before.

    Args:
        source: the images.
        job: how they are stored.
        processes: how many decode images.

    Raises:
        ValueError: an image is wrong, or the percentiles are no range; names the data set.
        OSError: a file cannot be read, or a process was killed.
    """
    if not isinstance(job.data.range, Percentiles):
        return job.data.range
    rows = Rows(job.dataset, len(source.classes))
    names: list[bytes] = []
    for sample, name in _all(source, job, source.samples(), name_of, processes):
        rows.add(sample)
        names.append(name)
    splits = deal(rows, same_numbers(names), job.shards).splits
    training = (sample for sample, split in zip(source.samples(), splits, strict=True) if split == "train")
    images: Iterator[tuple[Sample, Pixels]] = _all(source, job, training, prepared, processes)
    try:
        return percentile_range((image for _, image in images), job.data.range.percentiles)
    except ValueError as error:
        where = f"data set {job.dataset}: "
        raise ValueError(f"{where}{str(error).removeprefix(where)}") from None


def _all(
    source: Source,
    job: ShardJob,
    samples: Iterable[Sample],
    work: Callable[..., T],
    processes: int,
) -> Iterator[tuple[Sample, T]]:
    """What a function gives for each sample.

    Raises:
        ValueError: it failed; names the sample.
    """
    rows = Rows(job.dataset, len(source.classes))
    results = InOrder(partial(work, settings=job.data), processes)(samples)
    for sample, result in track(results, source.count(), f"measuring {job.dataset}"):
        if isinstance(result, ValueError):
            raise ValueError(f"{rows.where(sample)}: {result}")
        yield sample, result
