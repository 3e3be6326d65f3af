"""Products of many rows with one matrix."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.nn.eager import is_eager
from eqssl.nn.processor import runs_onednn


def transformed(
    rows: Float[Tensor, "rows inputs"], matrix: Float[Tensor, "outputs inputs"]
) -> Float[Tensor, "rows outputs"]:
    """`rows @ matrix.t()`; in float32 by oneDNN, as MKL leaves AVX-512 of other makers' processors unused."""
    # a subclass may stand for a tensor without numbers, and the operation knows no gradients
    ordinary = type(rows) is Tensor and rows.is_cpu and rows.dtype == torch.float32
    if not (ordinary and is_eager() and runs_onednn()) or torch.is_grad_enabled():
        return F.linear(rows, matrix)
    found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, None, "none", [], "")
    return found
