"""Encoders whose code `torch.compile` writes for the time of their training."""

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

    Its parameters, buffers and type stay as they are; what is made of it afterwards is not compiled. The same
    code rounds alike every time, but not as the encoder does that is not compiled.

    Args:
        encoder: on its device.
        backend: what turns the graph into code.
    """
    # what an earlier training in this process compiled would count as attempts for this one
    torch._dynamo.reset()
    from torch._inductor import config

    # in the place of the method, which the instance hides for as long as it has an attribute of that name
    encoder.forward = torch.compile(encoder.forward, fullgraph=True, backend=backend)  # type: ignore[method-assign]
    try:
        # `reproducible` tells torch alone, and not its compiler
        with config.patch(deterministic=torch.are_deterministic_algorithms_enabled()):
            yield
    finally:
        del encoder.forward


def require_compiler(device: torch.device) -> None:
    """See that this machine can compile for a device.

    Raises:
        ValueError: if it cannot, with what is missing.
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
