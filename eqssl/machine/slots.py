"""Sharing the cores and GPUs of a machine among processes that do not know of each other.

Each core and each place on a GPU is a file in a folder of the user; a process that uses it locks that file
(flock). Snakemake only counts the cores of its own jobs. These locks also count other Snakemakes, DVC's
workers and commands that were started by hand. The kernel releases a lock when its process ends, even if it
is killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from eqssl.machine.gpu_places import jobs_per_gpu, take_place
from eqssl.machine.locks import check_private, open_lock, try_lock
from eqssl.machine.variables import environment

Held = TypeVar("Held")

_PAUSE_SECONDS = 0.05
_MESSAGE_SECONDS = 5.0


@contextmanager
def cpu_slots(count: int) -> Iterator[list[str]]:
    """Wait for `count` free cores and hold them for the length of the block.

    No more cores are taken than this process may use. They limit the number of running threads; no thread is
    bound to a core. Processes are served in the order in which they come, however many cores they ask for.

    Args:
        count: how many threads will run.

    Yields:
        Names of the cores held.

    Raises:
        ValueError: if the count is below 1.
        OSError: if the folder of the locks cannot be used.
    """
    if count < 1:
        raise ValueError(f"cores: given {count}, allowed: 1 or more")
    cores = [f"core-{number}" for number in usable_cores()]
    names: list[str] = []
    wanted = min(count, len(cores))

    def collect(folder: Path, stack: ExitStack) -> list[str] | None:
        _collect(folder, stack, cores, wanted, names)
        return names if len(names) == wanted else None

    with _held("core", collect, f"{wanted} of {', '.join(cores)}") as held:
        yield held


@contextmanager
def gpu_slot() -> Iterator[str | None]:
    """Hold a place on a GPU for the length of the block, and make it the only one that CUDA sees.

    A GPU has one place, or as many as $EQSSL_JOBS_PER_GPU says. Of several GPUs the one with the fewest jobs
    is taken. Enter the block before CUDA is first used. Without a GPU nothing is taken, and neither is it
    under SLURM, which has already assigned a GPU to each job.

    Yields:
        The number or name of the GPU; None if nothing is taken.

    Raises:
        ValueError: if $EQSSL_JOBS_PER_GPU or $EQSSL_GPUS is out of range.
        OSError: if the folder of the locks cannot be used.
    """
    gpus = visible_gpus()
    if not gpus or "SLURM_JOB_ID" in os.environ:
        yield None
        return
    with _held_gpu(gpus) as gpu, environment(CUDA_VISIBLE_DEVICES=gpu):
        yield gpu


@contextmanager
def device_slot(device: str) -> Iterator[str | None]:
    """Hold a place on the GPU that a device setting needs: any for `auto` and `cuda`, GPU 1 for `cuda:1`."""
    if device in ("auto", "cuda"):
        with gpu_slot() as gpu:
            yield gpu
        return
    chosen = re.fullmatch(r"cuda:(\d+)", device)
    gpus = visible_gpus() if chosen and "SLURM_JOB_ID" not in os.environ else []
    if chosen is None or int(chosen[1]) >= len(gpus):
        yield None
        return
    with _held_gpu([gpus[int(chosen[1])]]) as gpu:
        yield gpu


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_gpus() -> list[str]:
    """Numbers or names of the GPUs that CUDA would see; only the first $EQSSL_GPUS of them if that is set.

    Raises:
        ValueError: if $EQSSL_GPUS is not a number.
    """
    limit = os.environ.get("EQSSL_GPUS")
    if limit is not None and not limit.isdecimal():
        raise ValueError(f"EQSSL_GPUS: given {limit!r}, allowed: a number of GPUs")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    elif limit is not None:
        gpus = [str(number) for number in range(int(limit))]
    else:
        gpus = [str(number) for number in range(_count_gpus())]
    return gpus if limit is None else gpus[: int(limit)]


def _count_gpus() -> int:
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())


def _lock_name(gpu: str) -> str:
    return "gpu-" + re.sub(r"[^A-Za-z0-9-]", "_", gpu)


@contextmanager
def _held_gpu(gpus: Sequence[str]) -> Iterator[str]:
    """Hold a place on one of these GPUs; gives the GPU."""
    locks = {_lock_name(gpu): gpu for gpu in gpus}
    most = jobs_per_gpu()

    def take(folder: Path, stack: ExitStack) -> str | None:
        return take_place(folder, list(locks), most, stack)

    with _held("gpu", take, f"a place on {', '.join(locks)}") as name:
        yield locks[name]


@contextmanager
def _held(kind: str, take: Callable[[Path, ExitStack], Held | None], wanted: str) -> Iterator[Held]:
    """Hold locks, which `take` takes as soon as it can; until then it gives None.

    One process at a time takes locks: it holds the gate of that kind until it has all it needs. So nobody is
    overtaken. There is no deadlock either, because every other holder has all its locks and does not wait. (A
    process must not ask for more locks while it holds some.)
    """
    folder = _folder()
    with ExitStack() as stack:
        with open_lock(folder / f"{kind}-gate") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            held = _patiently(lambda: take(folder, stack), wanted)
        yield held


def _patiently(take: Callable[[], Held | None], wanted: str) -> Held:
    """Try again and again, and say once what is waited for."""
    started = time.monotonic()
    told = False
    while (held := take()) is None:
        if not told and time.monotonic() - started > _MESSAGE_SECONDS:
            told = True
            print(f"eqssl: waiting for {wanted}", file=sys.stderr, flush=True)
        time.sleep(_PAUSE_SECONDS)
    return held


def _collect(folder: Path, stack: ExitStack, names: Sequence[str], count: int, held: list[str]) -> None:
    """Lock those of the names that are free, until `count` are held."""
    for name in names:
        if len(held) < count and name not in held:
            file = open_lock(folder / name)
            if try_lock(file):
                stack.enter_context(file)
                held.append(name)
            else:
                file.close()


def _folder() -> Path:
    """The user's folder of locks, which no other user may write to."""
    folder = Path(tempfile.gettempdir()) / f"eqssl-slots-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private(folder)
    return folder
