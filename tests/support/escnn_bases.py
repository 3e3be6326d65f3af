"""Our filter bases and escnn's, which span the same space."""

from typing import Any

import torch
from torch import Tensor


def whole_filters(rows: Tensor, index: Tensor, kernel: int) -> Tensor:
    """The filters of our basis as escnn lays them out: (dimension, outputs, inputs, places)."""
    return rows[:, index.long()].unflatten(2, (kernel**2, -1)).transpose(2, 3)


def escnns_filters(convolution: Any) -> Tensor:
    """Those between two fields, sampled in float32: (dimension, outputs, inputs, places)."""
    (block,) = convolution.basisexpansion.children()
    return block.sampled_basis


def coordinates(theirs: Tensor, ours: Tensor) -> Tensor:
    """The matrix T of theirs = T ours, by least squares in float64."""
    theirs, ours = theirs.double().flatten(1), ours.double().flatten(1)
    return torch.linalg.lstsq(ours.t(), theirs.t()).solution.t()
