"""Orthogonal matrices acting on images: exactly where they map the pixel grid to itself, else bilinear."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Matrix = np.ndarray[Any, Any]


def flip_and_turns(matrix: Matrix) -> tuple[bool, int] | None:
    """Write a matrix as `turns` quarter turns after at most one mirroring in the vertical axis.

    Args:
        matrix: orthogonal, acting on (x to the right, y up).

    Returns:
        Whether it mirrors, and the counter-clockwise quarter turns; None for any other matrix.
    """
    exact = np.rint(matrix)
    if not np.allclose(matrix, exact, atol=1e-9):
        return None
    flip = bool(np.linalg.det(exact) < 0)
    rotation = exact @ np.diag([-1.0, 1.0]) if flip else exact
    turns = [(1, 0), (0, 1), (-1, 0), (0, -1)].index((int(rotation[0, 0]), int(rotation[1, 0])))
    return flip, turns


def flip_and_degrees(matrix: Matrix) -> tuple[bool, float]:
    """Write an orthogonal matrix as a turn by degrees in [0, 360) after at most one mirroring, likewise."""
    flip = bool(np.linalg.det(matrix) < 0)
    rotation = matrix @ np.diag([-1.0, 1.0]) if flip else matrix
    return flip, math.degrees(math.atan2(rotation[1, 0], rotation[0, 0])) % 360


def turned_and_mirrored(
    images: Float[Tensor, "*batch height width"], matrix: Matrix
) -> Float[Tensor, "*batch height width"]:
    """Move images by an orthogonal matrix about their centre: bilinear, with zeros outside.

    Args:
        images: floating point; the last two axes are rows (downwards) and columns.
        matrix: orthogonal, acting on (x to the right, y up).

    Raises:
        ValueError: if the images are not floating point.
    """
    if not images.is_floating_point():
        raise ValueError(f"images to turn off the grid: given {images.dtype}, allowed: floating point")
    height, width = images.shape[-2:]
    # the moved image at x shows what was at matrix^-1 x; pixels count downwards, so y changes its sign
    back = np.diag([1.0, -1.0]) @ np.asarray(matrix, np.float64).T @ np.diag([1.0, -1.0])
    across, down = _centred(width, images), _centred(height, images)
    x = (back[0, 0] * across + back[0, 1] * down[:, None]) * (2 / width)
    y = (back[1, 0] * across + back[1, 1] * down[:, None]) * (2 / height)
    flat = images.reshape(1, -1, height, width)
    grid = torch.stack([x, y], -1)[None]
    return F.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False).view_as(
        images
    )


def _centred(count: int, like: Tensor) -> Float[Tensor, " count"]:
    """Pixel centres about the middle, in pixels."""
    return torch.arange(count, dtype=like.dtype, device=like.device) - (count - 1) / 2
