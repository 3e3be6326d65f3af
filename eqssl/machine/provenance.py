"""Provenance of results: versions, hardware and code."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eqssl.machine.code import PACKAGE, all_modules, code_digest

LIBRARIES = ("eqssl", "torch", "escnn", "numpy", "scipy", "scikit-learn", "pyarrow", "webdataset")


def record() -> dict[str, Any]:
    """What a result is made with: versions, platform, processor, git commit and a digest of all code.

    `clean` says whether the package's files are those of the commit; settings and results do not count.
    """
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "gpus": gpus(),
        "commit": _commit(),
        "clean": _clean(),
        "code": code_digest(*all_modules()),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus(driver: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Names of the machine's NVIDIA GPUs, as the driver tells them.

    Args:
        driver: its folder, with a file `information` for each GPU.
    """
    texts = [file.read_text("utf-8", "replace") for file in sorted(driver.glob("*/information"))]
    lines = [line.partition(":") for text in texts for line in text.splitlines()]
    return [value.strip() for key, _, value in lines if key.strip() == "Model"]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _processor() -> str:
    """Name of the processor, with its family and model, because virtual machines shorten the name."""
    information = Path("/proc/cpuinfo")
    described = _first_processor(information.read_text("utf-8", "replace")) if information.exists() else None
    return described or platform.processor() or platform.machine()


def _first_processor(information: str) -> str | None:
    """Name, family and model from the first entry of /proc/cpuinfo; None if it has no name."""
    entry = information.partition("\n\n")[0].splitlines()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in entry)}
    name, family, model = (values.get(key) for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model})" if name and family and model else name


@cache
def _commit() -> str | None:
    """The git commit of the working tree that contains this package; None for an installed package."""
    answer = _git("rev-parse", "--verify", "--quiet", "HEAD")
    return answer or None


@cache
def _clean() -> bool | None:
    """Whether git finds no change in this package since the commit; None where there is no commit."""
    if _commit() is None:
        return None
    answer = _git("status", "--porcelain", "--", PACKAGE.name)
    return None if answer is None else answer == ""


def _git(*arguments: str) -> str | None:
    """What git says in the working tree that contains this package; None if it cannot say."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    command = ["git", "-C", str(PACKAGE.parent), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
