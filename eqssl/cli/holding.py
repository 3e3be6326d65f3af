"""Processor cores and GPUs that a command holds while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def device(name: str) -> AbstractContextManager[str | None]:
    """Hold a GPU, where one is asked for and there is one, so that no other process takes it."""
    from eqssl.machine.slots import device_slot

    return device_slot(name)


@contextmanager
def processor(threads: int, processes: int = 1) -> Iterator[int]:
    """Hold processor slots, keep freed memory, and libraries to so many threads. Import them inside.

    Yields:
        the number of cores held, which is smaller than what was asked for where there are fewer.
    """
    from eqssl.machine.memory import keep_freed_memory
    from eqssl.machine.slots import cpu_slots

    keep_freed_memory()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    with cpu_slots(threads * processes) as cores:
        yield len(cores)
