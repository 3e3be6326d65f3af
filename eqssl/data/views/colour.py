"""Changes of brightness and colour, by different amounts for each image, Gaussian blur and solarisation.

Brightness, contrast, saturation, hue and grayscale are all linear in the channels, so one 3 x 3 matrix and
one offset per image do all of them. Saturation and hue act in YIQ (NTSC, 1953), where they scale and rotate
the plane (I, Q) and leave the luma Y alone. torchvision and kornia use HSV, with slightly different colours.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""Rows Y (luma), I and Q in terms of red, green and blue."""


class ColourChange(NamedTuple):
    """How the colours of each image of a batch change.

    Attributes:
        brightness: factor on all values; 1 changes nothing.
        contrast: factor on the difference from the mean luma of the brightened image; 1 changes nothing.
        saturation: factor on the colour of images with 3 channels; 1 changes nothing, 0 gives gray.
        hue: rotation of the colour of images with 3 channels, as a share of a full circle.
    """

    brightness: Float[Tensor, " b"]
    contrast: Float[Tensor, " b"]
    saturation: Float[Tensor, " b"]
    hue: Float[Tensor, " b"]


def change_colours(images: Float[Tensor, "b c h w"], change: ColourChange) -> Float[Tensor, "b c h w"]:
    """Change brightness, then contrast, then saturation and hue; clip to [0, 1] once, at the end.

    The result is `clip(contrast * brightness * T x + (1 - contrast) * brightness * m)`, where x is the image,
    m its mean luma (the mean over all channels unless there are 3) and T the matrix of saturation and hue. T
    does not change gray, so the order of contrast and T does not matter.
    """
    gain = change.brightness * change.contrast
    if images.shape[1] == 3:
        luma = _colour_constants(images.device)[0, 0]
        mean = torch.mv(images.mean((2, 3)), luma)
    else:
        mean = images.mean((1, 2, 3))
    offset = (mean * (change.brightness - gain))[:, None, None]
    if images.shape[1] == 3:
        matrix = gain[:, None, None] * _colour_matrix(change.saturation, change.hue)
        changed = torch.baddbmm(offset, matrix, images.flatten(2))
    else:
        changed = images.flatten(2) * gain[:, None, None] + offset
    return changed.clamp_(0, 1).view_as(images)


def blur(
    images: Float[Tensor, "b c h w"], sigma: Float[Tensor, " b"], radius: int, on: Bool[Tensor, " b"]
) -> Float[Tensor, "b c h w"]:
    """Blur some images by a Gaussian of `2 radius + 1` taps along each axis, reflecting at the border.

    Args:
        images: with any number of channels.
        sigma: standard deviation for each image, in pixels, above 0.
        radius: of the kernel in pixels, less than the side of the image.
        on: which images to blur; the others are returned as they are.
    """
    taps = torch.arange(radius + 1, device=images.device)
    weights = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    weights = weights / (2 * weights.sum(1, keepdim=True) - 1)
    weights = torch.where(on[:, None], weights, (taps == 0).to(weights))
    padded = F.pad(images, (radius, radius, 0, 0), mode="reflect")
    blurred = _convolve_symmetric(padded, weights, 3)
    padded = F.pad(blurred, (0, 0, radius, radius), mode="reflect")
    return _convolve_symmetric(padded, weights, 2)


def blur_radius(side: int) -> int:
    """Radius of SimCLR's blur: the kernel is about a tenth of the image wide, and at least 3 pixels."""
    return max(1, side // 20)


def solarise(images: Float[Tensor, "b c h w"], on: Bool[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """Invert the values above 1/2 of some images: x becomes 1 - x (Grill et al. 2020, appendix B).

    Args:
        images: in [0, 1], with any number of channels.
        on: which images to change; the others are returned as they are.
    """
    # the smaller one of x and 1 - x is x up to 1/2 and 1 - x above
    return torch.where(on[:, None, None, None], torch.minimum(images, 1 - images), images)


def _convolve_symmetric(
    padded: Float[Tensor, "b c h w"], weights: Float[Tensor, "b taps"], axis: int
) -> Tensor:
    """Convolve along `axis` with a symmetric kernel; `weights` is its half from the centre outwards."""
    # Sums of shifted images: a convolution with a group for each image and channel is slow on every device.
    radius = weights.shape[1] - 1
    length = padded.shape[axis] - 2 * radius
    half = weights[:, :, None, None, None]
    total = padded.narrow(axis, radius, length) * half[:, 0]
    for tap in range(1, radius + 1):
        pair = padded.narrow(axis, radius - tap, length) + padded.narrow(axis, radius + tap, length)
        total.addcmul_(pair, half[:, tap])
    return total


def _colour_matrix(saturation: Float[Tensor, " b"], hue: Float[Tensor, " b"]) -> Float[Tensor, "b 3 3"]:
    luma, kept, turned = _colour_constants(saturation.device)
    angle = 2 * torch.pi * hue
    along, across = saturation * torch.cos(angle), saturation * torch.sin(angle)
    return luma + along[:, None, None] * kept + across[:, None, None] * turned


@lru_cache(maxsize=16)
def _colour_constants(device: torch.device) -> Float[Tensor, "3 3 3"]:
    """Three matrices on RGB: the luma alone, the colour alone, the colour turned by 90 degrees."""
    back = np.linalg.inv(YIQ)
    luma = np.tile(YIQ[0], (3, 1))
    turned = back @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ YIQ
    # Outside inference mode: a cached inference tensor could not be used where gradients are computed.
    with torch.inference_mode(False):
        constants = np.stack([luma, np.eye(3) - luma, turned])
        return torch.tensor(constants, dtype=torch.float32, device=device)
