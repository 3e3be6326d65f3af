"""The device of the training, and how to get the same bits on every run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def choose_device(name: str) -> torch.device:
    """The device of that name.

    Args:
        name: `auto` (a CUDA device when there is one, the CPU otherwise), or what `torch.device` takes:
            `cpu`, `cuda`, `cuda:1`, `mps`, `xpu` ...

    Raises:
        ValueError: if there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        usable = "auto, cpu" + (", cuda" if torch.cuda.is_available() else "")
        raise ValueError(f"machine.device: given {name!r}, allowed here: {usable} ({reason})") from None
    return device


@contextmanager
def reproducible(device: torch.device, threads: int) -> Iterator[None]:
    """Within the block: the same bits on every run, as far as the device can.

    The number of threads is fixed, because sums in another order round differently. An operation that has no
    deterministic form is an error on the CPU and a warning elsewhere. All settings are restored afterwards.
    """
    # cuBLAS reads this when it is first used; without it its sums depend on the order of streams.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    filler: Any = torch.utils.deterministic
    before = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        filler.fill_uninitialized_memory,
    )
    torch.set_num_threads(threads)
    # `use_deterministic_algorithms` does the same, but loads the compiler, which takes more than a second
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    # Filling uninitialised memory would reveal reads of it, but costs a pass over each tensor.
    filler.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        filler.fill_uninitialized_memory = before[2]
