"""Sharing the cores and GPUs of a machine among processes that do not know of each other.

Each core and each GPU is a file in a folder of the user; a process that uses it locks that file (flock).
Snakemake only counts the cores of its own jobs. These locks also count other Snakemakes, DVC's workers and
commands that were started by hand. The kernel releases a lock when its process ends, even if it is killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from eqssl.machine.locks import check_private, open_lock

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
    with _held("core", cores, min(count, len(cores))) as names:
        yield names


@contextmanager
def gpu_slot() -> Iterator[str | None]:
    """Hold one GPU for the length of the block, and make it the only one that CUDA sees.

    Enter the block before CUDA is first used. Without a GPU nothing is taken, and neither is it under SLURM,
    which has already assigned a GPU to each job.

    Yields:
        The number or name of the GPU; None if nothing is taken.
    """
    gpus = visible_gpus()
    if not gpus or "SLURM_JOB_ID" in os.environ:
        yield None
        return
    locks = {_lock_name(gpu): gpu for gpu in gpus}
    with _held("gpu", list(locks), 1) as (name,):
        before = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = locks[name]
        try:
            yield locks[name]
        finally:
            if before is None:
                del os.environ["CUDA_VISIBLE_DEVICES"]
            else:
                os.environ["CUDA_VISIBLE_DEVICES"] = before


@contextmanager
def device_slot(device: str) -> Iterator[str | None]:
    """Hold the GPU that a device setting needs: any for `auto` and `cuda`, GPU 1 for `cuda:1`, else none."""
    if device in ("auto", "cuda"):
        with gpu_slot() as gpu:
            yield gpu
        return
    chosen = re.fullmatch(r"cuda:(\d+)", device)
    gpus = visible_gpus() if chosen and "SLURM_JOB_ID" not in os.environ else []
    if chosen is None or int(chosen[1]) >= len(gpus):
        yield None
        return
    gpu = gpus[int(chosen[1])]
    with _held(_lock_name(gpu), [_lock_name(gpu)], 1):
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
def _held(kind: str, names: Sequence[str], count: int) -> Iterator[list[str]]:
    """Hold `count` of the named locks.

    One process at a time collects locks: it holds the gate of that kind until it has all it needs. So nobody
    is overtaken. There is no deadlock either, because every other holder has all its locks and does not wait.
    (A process must not ask for more locks while it holds some.)
    """
    folder = _folder()
    with ExitStack() as stack:
        with open_lock(folder / f"{kind}-gate") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            held = _collect(folder, names, count, stack)
        yield held


def _collect(folder: Path, names: Sequence[str], count: int, stack: ExitStack) -> list[str]:
    held: list[str] = []
    started = time.monotonic()
    told = False
    while True:
        for name in names:
            if len(held) < count and name not in held:
                file = open_lock(folder / name)
                if _try_lock(file):
                    stack.enter_context(file)
                    held.append(name)
                else:
                    file.close()
        if len(held) == count:
            return held
        if not told and time.monotonic() - started > _MESSAGE_SECONDS:
            told = True
            print(f"eqssl: waiting for {count} of {', '.join(names)}", file=sys.stderr, flush=True)
        time.sleep(_PAUSE_SECONDS)


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    """The user's folder of locks, which no other user may write to."""
    folder = Path(tempfile.gettempdir()) / f"eqssl-slots-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private(folder)
    return folder
