"""When a layer may call operations of oneDNN that torch has for the code it generates, and for nothing else.

They have no public name, so a release of torch may change them. Then nothing breaks: a layer runs torch's
public operations, and a test says what changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from eqssl.nn.eager import is_eager

SWITCH = "EQSSL_FAST_CPU"
"""Environment variable; 0 keeps everything to torch's public operations."""


def is_on(capability: str | None = None) -> bool:
    """Whether such operations may run in this process: on x86, unless oneDNN or the switch is off.

    Args:
        capability: what the processor can do, as torch names it; None for this one's.
    """
    capability = capability or torch.backends.cpu.get_cpu_capability()
    # they were measured nowhere else
    x86 = capability.startswith("AVX")
    onednn = torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
    return os.environ.get(SWITCH) != "0" and x86 and onednn


def may_compute(*tensors: Tensor) -> bool:
    """Whether such operations may compute with these tensors: float32 on a CPU, numbers and no program.

    They have no gradients, know nothing of autocast, and cannot be traced.
    """
    plain = all(
        # a subclass may stand for a tensor without numbers
        type(tensor) in (Tensor, nn.Parameter) and tensor.is_cpu and tensor.dtype == torch.float32
        for tensor in tensors
    )
    asked = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    return plain and not asked and is_eager() and is_on()


def problem_of(name: str, private: Callable[[], Tensor], expected: Tensor) -> str | None:
    """What a release of torch changed, in one sentence; None if an operation gives what it should.

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
