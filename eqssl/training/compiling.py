"""Compile encoders with `torch.compile` while they are trained."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from eqssl.encoders.base import Encoder


@contextmanager
def compiled(encoder: Encoder, backend: str = "inductor") -> Iterator[None]:
    """Within the block the encoder's forward and backward pass are compiled, as one graph.

    Its parameters, buffers and type stay as they are, and after the block it is not compiled. Compiled code
    rounds in the same way every time, but not in the same way as the encoder that is not compiled.

    Args:
        encoder: the encoder, on its device.
        backend: what turns the graph into code.
    """
    # otherwise compilations of an earlier training in this process would count as attempts of this one
    torch._dynamo.reset()
    from torch._inductor import config

    # an attribute of the instance hides the method of that name until it is deleted
    encoder.forward = torch.compile(encoder.forward, fullgraph=True, backend=backend)  # type: ignore[method-assign]
    try:
        # `reproducible` sets this for torch, but not for its compiler
        with config.patch(deterministic=torch.are_deterministic_algorithms_enabled()):
            yield
    finally:
        del encoder.forward


def require_compiler(device: torch.device) -> None:
    """Check that this machine can compile for a device.

    Raises:
        ValueError: if it cannot; names what is missing.
    """
    missing = missing_compiler(device)
    if missing:
        raise ValueError(f"pretrain.compile: given true, allowed here: false ({missing})")


def missing_compiler(device: torch.device) -> str | None:
    """What inductor needs for a device and cannot find; None if nothing."""
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "triton is not installed"
    names = [os.environ.get("CXX", "g++"), "clang++"]
    found = any(shutil.which(name) for name in names)
    return None if found else f"no C++ compiler was found: {', '.join(names)}"
