"""What Barlow Twins and VICReg share: statistics of fields over images and points of the group."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rows_of_fields(z: Float[Tensor, "n features points"]) -> Float[Tensor, "rows features"]:
    """One row for each image and point: what a permutation of an image's points changes is their order."""
    return z.transpose(1, 2).flatten(0, 1)


def off_diagonal_squares(matrix: Float[Tensor, "features features"]) -> Float[Tensor, ""]:
    """Sum of the squared entries off the diagonal."""
    # the sum of all less that of the diagonal would cancel when the diagonal dominates
    diagonal = torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(diagonal, 0.0).square().sum()
