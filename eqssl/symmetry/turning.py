"""Turning images about their centre: exact if the pixel grid maps to itself, else by bilinear sampling.

This is the only implementation of a turn. Groups, data sets that are stored turned, random views and the
views of test images all use it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Matrix = np.ndarray[Any, Any]


def flip_and_turns(matrix: Matrix) -> tuple[bool, int] | None:
    """Write a matrix as a reflection in the vertical axis (or none) followed by quarter turns.

    Args:
        matrix: orthogonal, acting on (x to the right, y up).

    Returns:
        Whether it reflects, and how many counter-clockwise quarter turns follow; None for any other matrix.
    """
    exact = np.rint(matrix)
    if not np.allclose(matrix, exact, atol=1e-9):
        return None
    flip = bool(np.linalg.det(exact) < 0)
    rotation = exact @ np.diag([-1.0, 1.0]) if flip else exact
    turns = [(1, 0), (0, 1), (-1, 0), (0, -1)].index((int(rotation[0, 0]), int(rotation[1, 0])))
    return flip, turns


def flip_and_degrees(matrix: Matrix) -> tuple[bool, float]:
    """Write a matrix as a reflection in the vertical axis (or none) and a turn by degrees in [0, 360)."""
    flip = bool(np.linalg.det(matrix) < 0)
    rotation = matrix @ np.diag([-1.0, 1.0]) if flip else matrix
    degrees = math.degrees(math.atan2(rotation[1, 0], rotation[0, 0])) % 360
    # a rounding error below zero would come out as 360
    return flip, degrees if degrees < 360 else 0.0


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
    # the moved image shows at x what was at matrix^-1 x; rows count downwards, so y changes its sign
    back = np.diag([1.0, -1.0]) @ np.asarray(matrix, np.float64).T @ np.diag([1.0, -1.0])
    # from pixels to the scale of `resample`, which reaches from -1 to 1 along each side
    scaled = back * np.array([[1.0, height / width], [width / height, 1.0]])
    places = torch.from_numpy(np.concatenate([scaled, np.zeros((2, 1))], 1)).to(images)
    flat = images.reshape(1, -1, height, width)
    return resample(flat, places[None]).view_as(images)


def turn(images: Float[Tensor, "b c s s"], degrees: Float[Tensor, " b"]) -> Float[Tensor, "b c s s"]:
    """Turn each image counter-clockwise about its centre, bilinear, with zeros outside.

    A turn by a multiple of 90 degrees equals `torch.rot90` up to the rounding of coordinates: about
    side / 2e7 for values in [0, 1], so 1e-5 at a side of 200 pixels.

    Raises:
        ValueError: if the images are not a floating-point batch of squares.
    """
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images of shape {tuple(images.shape)}: allowed: (batch, channels, side, side)")
    if not images.is_floating_point():
        raise ValueError(f"images to turn: given {images.dtype}, allowed: floating point")
    with torch.autocast(images.device.type, enabled=False):
        degrees = degrees.to(images)
        whole = images.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(len(images), 4)
        mirrored = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        return resample(images, sampling_matrices(whole, degrees, mirrored))


def sampling_matrices(
    boxes: Float[Tensor, "b 4"], degrees: Float[Tensor, " b"], mirrored: Bool[Tensor, " b"]
) -> Float[Tensor, "b 2 3"]:
    """Where each pixel of a view comes from. The image is mirrored left to right, turned, then cropped.

    Args:
        boxes: centre (x to the right, y down), width and height of each crop. The image reaches from -1 to 1
            for centres; widths and heights are shares of its side.
        degrees: the turns, counter-clockwise.
        mirrored: whether the image is mirrored first.

    Returns:
        Matrices for `resample`.
    """
    cosine, sine = _cosine_and_sine(degrees)
    x, y, width, height = boxes.unbind(1)
    sign = 1.0 - 2.0 * mirrored.to(boxes)
    across = torch.stack([cosine * width, -sine * height, cosine * x - sine * y], 1) * sign[:, None]
    down = torch.stack([sine * width, cosine * height, sine * x + cosine * y], 1)
    return torch.stack([across, down], 1)


def resample(
    images: Float[Tensor, "b c h w"], matrices: Float[Tensor, "b 2 3"], size: int | None = None
) -> Float[Tensor, "b c new_h new_w"]:
    """Bilinear samples of each image at the places that its matrix gives, with zeros outside.

    Places are (x to the right, y down), and each side reaches from -1 to 1. A sample depends on the pixels
    within a distance of one pixel along each axis, so samples more than two pixels apart leave pixels out.

    Args:
        images: floating point.
        matrices: see `sampling_matrices`.
        size: side of the result in pixels; None for as many rows and columns as the images have.
    """
    # The same numbers as F.affine_grid, whose batched matrix product would take half of the time.
    height, width = images.shape[-2:] if size is None else (size, size)
    columns, rows = _centres(width, images), _centres(height, images)
    across, down, offset = matrices.unbind(2)
    along_row = columns[:, None] * across[:, None]
    along_column = rows[:, None] * down[:, None] + offset[:, None]
    grid = along_row[:, None] + along_column[:, :, None]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _centres(count: int, like: Tensor) -> Float[Tensor, " count"]:
    """Centres of pixels on a side that reaches from -1 to 1."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + (1 - count)) / count


def _cosine_and_sine(degrees: Float[Tensor, " b"]) -> tuple[Tensor, Tensor]:
    """Cosine and sine, exact for multiples of 90 degrees."""
    quarters = torch.round(degrees / 90)
    rest = torch.deg2rad(degrees - 90 * quarters)
    cosine, sine = torch.cos(rest), torch.sin(rest)
    quarter = torch.remainder(quarters, 4)
    odd, negative = torch.remainder(quarter, 2) == 1, quarter >= 2
    sign = 1.0 - 2.0 * negative.to(degrees)
    return torch.where(odd, -sine, cosine) * sign, torch.where(odd, cosine, sine) * sign
