"""How many jobs use one GPU at the same time.

A small encoder leaves most of a GPU idle, so several jobs may share one. Each GPU has numbered places, and
each place is a lock file: `gpu-0`, `gpu-0.2`, `gpu-0.3` and so on. A job locks one of them, and writes into
it how many jobs it accepts on its GPU, itself included. A job comes onto a GPU only if all jobs there, and
itself, accept one more. So a run that wants the GPU for itself has it, whatever other runs were set to.

Places are taken one process at a time (`eqssl.machine.slots` holds a gate), so nobody reads a place while it
is written. What a killed job wrote does not count, since its lock is gone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from eqssl.config.machine import MOST_JOBS_PER_GPU
from eqssl.machine.locks import open_lock, try_lock

VARIABLE = "EQSSL_JOBS_PER_GPU"
"""Set for all jobs of a run, from `machine.jobs_per_gpu`. Each job's command could say it too, but Snakemake
takes a changed command for changed code, and would train every cell again."""


class _Seen(NamedTuple):
    """What is on a GPU.

    Attributes:
        jobs: how many jobs are there.
        accepted: how many the strictest of them accepts.
        free: number of the first free place.
    """

    jobs: int
    accepted: int
    free: int


def jobs_per_gpu() -> int:
    """How many jobs may use one GPU, from the environment; 1 if it does not say.

    Raises:
        ValueError: the variable is out of range.
    """
    given = os.environ.get(VARIABLE, "1")
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:20]) <= MOST_JOBS_PER_GPU:
        raise ValueError(f"{VARIABLE}: given {given[:100]!r}, allowed: 1 to {MOST_JOBS_PER_GPU}")
    return int(given)


def take_place(folder: Path, gpus: Sequence[str], most: int, stack: ExitStack) -> str | None:
    """Lock a place on the GPU that has the fewest jobs.

    Args:
        folder: where the locks are.
        gpus: names of the first lock of each GPU.
        most: how many jobs this one accepts on its GPU.
        stack: holds the lock.

    Returns:
        The name of the GPU; None if there is no place now.
    """
    seen = {gpu: _look(folder, gpu) for gpu in gpus}
    open_ones = [gpu for gpu in gpus if seen[gpu].jobs < min(most, seen[gpu].accepted)]
    if not open_ones:
        return None
    gpu = min(open_ones, key=lambda name: seen[name].jobs)
    file = open_lock(_place(folder, gpu, seen[gpu].free))
    if not try_lock(file):  # by a process that does not keep to the gate
        file.close()
        return None
    stack.enter_context(file)
    os.ftruncate(file.fileno(), 0)
    os.write(file.fileno(), str(most).encode())
    return gpu


def _look(folder: Path, gpu: str) -> _Seen:
    """Who is on a GPU. Places are made in order, so the first that is not there ends the list."""
    jobs, accepted, free, number = 0, MOST_JOBS_PER_GPU, 0, 0
    while (path := _place(folder, gpu, number := number + 1)).exists():
        with open_lock(path) as file:
            if try_lock(file):
                free = free or number
            else:
                jobs += 1
                accepted = min(accepted, _accepted(file))
    return _Seen(jobs, accepted, free or number)


def _accepted(file: BinaryIO) -> int:
    """What the holder of a place wrote; 1 if it wrote no number."""
    text = os.pread(file.fileno(), 20, 0)
    return max(1, int(text)) if text.isdigit() else 1


def _place(folder: Path, gpu: str, number: int) -> Path:
    """The lock file of a place. No other GPU has this name: a dot is in none of theirs."""
    return folder / (gpu if number == 1 else f"{gpu}.{number}")
