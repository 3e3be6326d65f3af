"""What is done to every image before an encoder sees it: cut to the disc, then normalise each channel."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqssl.data.disc import disc


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Float[Tensor, "b c h w"]:
    """Subtract each channel's mean and divide by its standard deviation: the input of every encoder.

    Args:
        images: (b, c, h, w), uint8, or floating point in [0, 1].
        mean: mean of each channel, on the scale [0, 1].
        std: standard deviation of each channel, on the scale [0, 1].

    Raises:
        ValueError: if `images`, `mean` and `std` differ in the number of channels.

    Example:
        >>> import torch
        >>> images = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
        >>> normalise(images, (0.5,), (0.25,)).round(decimals=4).tolist()
        [[[[2.0, 2.0], [2.0, 2.0]]]]
    """
    if images.ndim != 4 or not images.shape[1] == len(mean) == len(std):
        raise ValueError(
            f"images of shape {tuple(images.shape)}: allowed: (batch, {len(mean)}, height, width), "
            f"with {len(mean)} means and {len(std)} deviations"
        )
    top = 1.0 if images.is_floating_point() else 255.0
    scale, shift = _normalisation(tuple(mean), tuple(std), top, images.device)
    values = images if images.dtype == torch.float64 else images.float()
    return torch.addcmul(shift.to(values.dtype), values, scale.to(values.dtype))


def cut_disc(images: Tensor) -> Tensor:
    """Set everything outside the inscribed disc to 0.

    Args:
        images: (..., s, s) of any type.

    Raises:
        ValueError: if the images are not square.

    Example:
        >>> import torch
        >>> cut_disc(torch.ones(4, 4, dtype=torch.uint8)).tolist()
        [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    """
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images of shape {tuple(images.shape)}: allowed: squares")
    return images * _inside(images.shape[-1], images.device).to(images.dtype)


# The constants are cached on the device, because making them copies from the host on every call. They are
# made outside inference mode: inference tensors could not be used where gradients are computed.


@lru_cache(maxsize=64)
def _inside(side: int, device: torch.device) -> Bool[Tensor, "s s"]:
    with torch.inference_mode(False):
        return torch.tensor(disc(side), device=device)


@lru_cache(maxsize=64)
def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], top: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and offset of each channel, for images whose largest value is `top`."""
    with torch.inference_mode(False):
        centre, deviation = torch.tensor([mean, std], dtype=torch.float64).view(2, 1, -1, 1, 1)
        scale, shift = 1 / (top * deviation), -centre / deviation
        return scale.float().to(device), shift.float().to(device)
