"""When a layer may call the oneDNN operations that torch has only for the code that it generates.

They are not public, so a release of torch may change them. Nothing breaks then: layers run torch's public
operations instead, and a test says what changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from eqssl.nn.eager import is_eager

SWITCH = "EQSSL_FAST_CPU"
"""Environment variable; with 0 only torch's public operations run."""


def is_on(capability: str | None = None) -> bool:
    """Whether such operations may run in this process: on x86, unless oneDNN or the switch is off.

    Args:
        capability: what the processor can do, as torch names it; None for this one's.
    """
    capability = capability or torch.backends.cpu.get_cpu_capability()
    # they were measured on x86 only
    x86 = capability.startswith("AVX")
    onednn = torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
    return os.environ.get(SWITCH) != "0" and x86 and onednn


def may_compute(*tensors: Tensor) -> bool:
    """Whether such operations may run on these tensors: float32 on a CPU, outside tracing and compiling.

    The operations have no gradients, ignore autocast, and cannot be traced.
    """
    plain = all(
        # a subclass may stand for a tensor without numbers
        type(tensor) in (Tensor, nn.Parameter) and tensor.is_cpu and tensor.dtype == torch.float32
        for tensor in tensors
    )
    asked = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    return plain and not asked and is_eager() and is_on()


def problem_of(name: str, private: Callable[[], Tensor], expected: Tensor) -> str | None:
    """What a release of torch changed, in one sentence; None if the operation gives the expected result.

    Args:
        name: of the operation.
        private: calls it.
        expected: what torch's public operations give.
    """
    try:
        found = private()
        if torch.allclose(found, expected, atol=1e-5):
            return None
        change = "it gives other numbers"
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        change = str(error).splitlines()[0]
    return f"torch {torch.__version__} changed {name}: {change}; set {SWITCH}=0 to run without it"
