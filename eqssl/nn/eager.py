"""Whether operations run one after the other, as they are written."""

from __future__ import annotations

import torch


def is_eager() -> bool:
    """Whether no program is being compiled, traced or transformed from the operations that run."""
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch._C._are_functorch_transforms_active()
    )
