"""Patches cut from images, with measures against shortcuts."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def middle_of(
    images: Float[Tensor, "batch channel side side"], margin: float, side: int
) -> Float[Tensor, "batch channel new new"]:
    """The images without a margin, resized to `side` pixels; commutes with the groups of the pixel grid.

    Bilinear, with a wider filter if the image shrinks. It gives what `torch.nn.functional.interpolate` gives
    with `antialias`, which takes several times as long.
    """
    cut = int(margin * images.shape[-1])
    return resized(images[..., cut : images.shape[-2] - cut, cut : images.shape[-1] - cut], side)


def resized(images: Float[Tensor, "*batch side side"], side: int) -> Float[Tensor, "*batch new new"]:
    """Square images with another side, bilinear as in `middle_of`."""
    if images.shape[-1] == side:
        return images
    along = _resizing(images.shape[-1], side, images.dtype, images.device)
    # in full precision whatever autocast says, because images are not features
    with torch.autocast(images.device.type, enabled=False):
        return along @ images @ along.t()


@cache
def _resizing(side: int, new: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "new side"]:
    """The matrix that resizes columns of pixels. Reversing its rows and columns gives exactly itself."""
    # made on the device, because copying a tensor to it would have to wait
    columns = torch.eye(side, dtype=dtype, device=device)[None, None]
    resized = F.interpolate(columns, (new, side), mode="bilinear", antialias=True, align_corners=False)[0, 0]
    return (resized + resized.flip(0, 1)) / 2


def cut(
    images: Float[Tensor, "batch channel side side"], corners: Int[Tensor, "batch slots 2"], size: int
) -> Float[Tensor, "batch slots channel size size"]:
    """Square patches of images.

    Args:
        images: the images.
        corners: row and column of the upper left pixel of each patch.
        size: side of a patch.
    """
    side = images.shape[-1]
    # pixel numbers, made on the device, because tensors of Python numbers would have to be copied there
    inside = torch.arange(size, device=images.device)
    window = (inside[:, None] * side + inside).flatten()
    pixels = (corners[..., 0] * side + corners[..., 1])[..., None] + window
    of_channels = pixels.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    found = images.flatten(2).gather(2, of_channels)
    return found.unflatten(2, (corners.shape[1], size, size)).transpose(1, 2)


def draw_shifts(
    batch: int, slots: int, jitter: int, generator: torch.Generator
) -> Int[Tensor, "batch slots 2"]:
    """Random shifts (down, right) of patches, each way up to `jitter` pixels."""
    return torch.randint(-jitter, jitter + 1, (batch, slots, 2), generator=generator, device=generator.device)


def draw_gray(batch: int, probability: float, generator: torch.Generator) -> Bool[Tensor, " batch"]:
    """Whether each image loses its colours."""
    return torch.rand(batch, generator=generator, device=generator.device) < probability


def without_colours(
    images: Float[Tensor, "batch channel side side"], gray: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch channel side side"]:
    """Replace all channels of some images by their mean."""
    mean = images.mean(1, keepdim=True).expand_as(images)
    return torch.where(gray[:, None, None, None], mean, images)


def standardised(
    patches: Float[Tensor, "*batch channel side side"],
    inside: Bool[Tensor, "side side"] | None = None,
) -> Float[Tensor, "*batch channel side side"]:
    """Each patch with mean 0 and standard deviation 1 over its pixels and channels; a flat one becomes 0.

    Args:
        patches: the patches.
        inside: the pixels that count; all others become 0.
    """
    if inside is None:
        centred = patches - patches.mean((-3, -2, -1), keepdim=True)
        deviation = centred.square().mean((-3, -2, -1), keepdim=True).sqrt()
    else:
        share = inside.to(patches.dtype) / (inside.sum() * patches.shape[-3])
        centred = (patches - (share * patches).sum((-3, -2, -1), keepdim=True)) * inside
        deviation = (share * centred.square()).sum((-3, -2, -1), keepdim=True).sqrt()
    # a deviation below one step of eight bits is nothing but rounding
    return centred / deviation.clamp(min=1 / 255)
