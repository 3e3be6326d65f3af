"""Numbers of 16 or 32 bits in the forward and backward pass; weights and sums always have 32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that matrix products and convolutions run in.

    Args:
        name: `float32`, `bfloat16`, or `auto`: bfloat16 on CUDA devices made for it (Ampere and later),
            float32 elsewhere.
        device: the device of the training.

    Raises:
        ValueError: if there is no such precision.
    """
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in types:
        raise ValueError(f"pretrain.precision: given {name!r}, allowed: auto, {', '.join(types)}")
    return types[name]


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """The context of a forward pass. No loss is scaled, because bfloat16 has the range of float32."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=precision)
