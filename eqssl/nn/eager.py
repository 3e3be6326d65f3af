"""Whether torch runs operations at once, in the order in which they are written."""

from __future__ import annotations

import torch


def is_eager() -> bool:
    """Whether torch is not compiling, tracing or transforming (by functorch) the operations that run."""
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch._C._are_functorch_transforms_active()
    )
