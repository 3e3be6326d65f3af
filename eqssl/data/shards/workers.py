"""Work on samples in several processes, with results in the order of the samples."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits

from eqssl.data.sources.base import Sample

Result = TypeVar("Result")
Work = Callable[[Sample], Result]
_CHUNK_SAMPLES = 16
_CHUNK_BYTES = 2**22
_WAITING = 2  # chunks for each process, beside the one it works on


class InOrder(Generic[Result]):
    """Applies a function to samples, in this process or in several others.

    Results, and the first error, are the same for any number of processes. No more than a few samples for
    each process are in memory.

    Args:
        work: a function at the top of a module, or a `partial` of one.
        processes: how many; 1 stands for this one.
    """

    def __init__(self, work: Work[Result], processes: int) -> None:
        self._work, self._processes = work, processes

    def __call__(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Result | ValueError]]:
        """Each sample, whose image may have been dropped, with its result or the error of the function.

        Raises:
            OSError: a process was killed.
        """
        if self._processes == 1:
            for sample in samples:
                yield sample, _one(self._work, sample)
            return
        others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self._processes, context, _begin)
        try:
            yield from self._from_pool(pool, samples)
        except BrokenProcessPool:
            # the pool ends its processes, but for one that it was starting when another died: it would wait
            # for that one without end
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise OSError(
                "a process that prepares images ended unexpectedly; the machine may have run out of memory"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)

    def _from_pool(
        self, pool: ProcessPoolExecutor, samples: Iterable[Sample]
    ) -> Iterator[tuple[Sample, Result | ValueError]]:
        waiting: deque[tuple[list[Sample], Future[list[Result | ValueError]]]] = deque()
        chunks = _Chunks(samples)
        while True:
            for chunk in islice(chunks, (1 + _WAITING) * self._processes - len(waiting)):
                future = _submitted(pool, self._work, chunk)
                waiting.append(([replace(sample, image=b"") for sample in chunk], future))
            if not waiting:
                break
            some, future = waiting.popleft()
            yield from zip(some, future.result(), strict=True)
        chunks.end()


def _submitted(
    pool: ProcessPoolExecutor, work: Work[Result], chunk: list[Sample]
) -> Future[list[Result | ValueError]]:
    try:
        return pool.submit(_many, work, chunk)
    except OSError as error:
        # a process died while another was being started, and the pool's pipes are closed
        raise BrokenProcessPool(str(error)) from None


class _Chunks:
    """Lists of samples. An error of the source is kept until all samples before it are done."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = iter(samples)
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[list[Sample]]:
        return self

    def __next__(self) -> list[Sample]:
        chunk: list[Sample] = []
        size = 0
        while self._error is None and len(chunk) < _CHUNK_SAMPLES and size < _CHUNK_BYTES:
            try:
                sample = next(self._samples)
            except StopIteration:
                break
            except Exception as error:
                self._error = error
                break
            chunk.append(sample)
            size += sample.nbytes
        if not chunk:
            raise StopIteration
        return chunk

    def end(self) -> None:
        """Raise the error of the source, if there was one."""
        if self._error is not None:
            raise self._error


def _begin() -> None:
    """What a new process does first: live no longer than its parent, leave Ctrl-C to it, use one core."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)


def _end_with_parent() -> None:
    """Wait for the end of the parent, which may be killed, and end too."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _many(work: Work[Result], samples: list[Sample]) -> list[Result | ValueError]:
    return [_one(work, sample) for sample in samples]


def _one(work: Work[Result], sample: Sample) -> Result | ValueError:
    try:
        return work(sample)
    except ValueError as error:
        return ValueError(str(error))
    except MemoryError:
        return ValueError("needs more memory than there is")
