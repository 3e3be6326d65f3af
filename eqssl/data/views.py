r"""Random views of a batch of images, on the images' own device, each image by its own random numbers.

The distribution of `random_view`, in this order:

1. *Turn.* `angle`: a mirroring with probability 1/2, then a turn by an angle uniform in [0, 360) degrees;
   that is a uniform element of O(2). `grid`: a uniform element of D4, the eight symmetries of a square.
   `none`: neither a mirroring nor a turn.
2. *Crop.* The share `a` of the turned image's square is uniform in `crop_scale`; the ratio of width to height
   is uniform in its logarithm over the part of `crop_ratio` for which the box fits into the square, which is
   [a, 1/a]; the place of the box is uniform. No box is drawn again or cut off, so that the shares are exactly
   uniform (torchvision draws until a box fits, which favours small ones). If no ratio of `crop_ratio` fits,
   the box has the nearest ratio that does. Turn and crop are one bilinear resampling to the size of the
   image, with zeros outside; it never shrinks, so that nothing needs smoothing first.
3. *Colours*, with probability `jitter`: a factor on the brightness, uniform in 1 - brightness to
   1 + brightness; the same for the contrast about the mean luma of the image and, with 3 channels, for the
   saturation; and a turn of the hue, uniform in [-hue, hue] of a full circle (`eqssl.data.colour`). With 3
   channels the colour is dropped with probability `grayscale`, whether or not the colours changed. Values
   are clipped to [0, 1].
4. *Blur*, with probability `blur`: a Gaussian of deviation uniform in [0.1, 2] pixels, its kernel a tenth of
   the image wide (Chen et al. 2020, appendix A).
5. Everything outside the inscribed disc is set to 0.

Since the turn comes first, views under `grid` and `angle` of an image and of that image turned by an element
of D4 have the same distribution. Each image takes the same count of random numbers whatever the settings, so
that switching the blur off, say, leaves the crops as they were.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from eqssl.data.colour import ColourChange, blur, blur_radius, change_colours
from eqssl.data.disc import disc
from eqssl.params import ViewSettings

BLUR_SIGMA = (0.1, 2.0)
"""Least and largest standard deviation of the blur in pixels."""


class _Draws(NamedTuple):
    """Uniform random numbers in [0, 1), one of each for every image."""

    area: Tensor
    ratio: Tensor
    across: Tensor
    down: Tensor
    turn: Tensor
    mirror: Tensor
    jitter: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grayscale: Tensor
    blur: Tensor
    sigma: Tensor


@torch.no_grad()
def random_view(
    images: UInt8[Tensor, "b c s s"], settings: ViewSettings, generator: torch.Generator
) -> Float[Tensor, "b c s s"]:
    """Draw one view of each image; the module describes the distribution.

    Args:
        images: square, uint8 (or floating point in [0, 1]).
        settings: the distribution.
        generator: on the device of the images; the global generator of random numbers is not touched.

    Returns:
        float32 in [0, 1] up to rounding, zero outside the inscribed disc, not normalised.

    Raises:
        ValueError: if the images are not a batch of squares.
    """
    _check_square(images)
    # Under autocast the small matrices would be rounded to bfloat16, and a pixel would land beside its place.
    with torch.autocast(images.device.type, enabled=False):
        numbers = torch.rand((len(images), len(_Draws._fields)), generator=generator, device=images.device)
        draws = _Draws(*numbers.unbind(1))
        degrees, mirrored = _draw_turns(settings, draws)
        matrices = sampling_matrices(_draw_boxes(settings, draws), degrees, mirrored)
        views = resample(_to_unit(images), matrices)
        if settings.jitter > 0 or (settings.grayscale > 0 and images.shape[1] == 3):
            views = change_colours(views, _draw_colours(settings, draws))
        if settings.blur > 0:
            low, high = BLUR_SIGMA
            sigma = low + (high - low) * draws.sigma
            views = blur(views, sigma, blur_radius(images.shape[-1]), draws.blur < settings.blur)
        return cut_disc(views)


def turn(images: Float[Tensor, "b c s s"], degrees: Float[Tensor, " b"]) -> Float[Tensor, "b c s s"]:
    """Turn each image counter-clockwise about its centre, bilinear, with zeros outside.

    Turns by multiples of 90 degrees equal `torch.rot90` up to the rounding of places: about side / 2e7 for
    values in [0, 1], so 1e-5 at a side of 200 pixels.

    Raises:
        ValueError: if the images are not a floating-point batch of squares.
    """
    _check_square(images)
    if not images.is_floating_point():
        raise ValueError(f"images to turn: given {images.dtype}, allowed: floating point")
    with torch.autocast(images.device.type, enabled=False):
        degrees = degrees.to(images)
        whole = images.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(len(images), 4)
        mirrored = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        return resample(images, sampling_matrices(whole, degrees, mirrored))


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Float[Tensor, "b c h w"]:
    """Subtract each channel's mean and divide by its deviation: what every encoder takes.

    Args:
        images: (b, c, h, w), uint8, or floating point in [0, 1].
        mean: of each channel, on the scale [0, 1].
        std: standard deviation of each channel, on the scale [0, 1].

    Raises:
        ValueError: if the channels do not match.
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
    """
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images of shape {tuple(images.shape)}: allowed: squares")
    return images * _inside(images.shape[-1], images.device).to(images.dtype)


def sampling_matrices(
    boxes: Float[Tensor, "b 4"], degrees: Float[Tensor, " b"], mirrored: Bool[Tensor, " b"]
) -> Float[Tensor, "b 2 3"]:
    """Where each pixel of a view comes from: mirrored left to right, turned, then cropped.

    Args:
        boxes: centre (x to the right, y down) and width and height of the crop, on a scale where the image
            reaches from -1 to 1 for centres, and in shares of its side for widths and heights.
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


def resample(images: Float[Tensor, "b c s s"], matrices: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b c s s"]:
    """Bilinear samples of each image at the places that its matrix gives, with zeros outside."""
    # The same numbers as F.affine_grid, whose batched matrix product would take half of the whole time.
    side = images.shape[-1]
    centres = (2 * torch.arange(side, dtype=images.dtype, device=images.device) + (1 - side)) / side
    across, down, offset = matrices.unbind(2)
    along_row = centres[:, None] * across[:, None]
    along_column = centres[:, None] * down[:, None] + offset[:, None]
    grid = along_row[:, None] + along_column[:, :, None]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _cosine_and_sine(degrees: Float[Tensor, " b"]) -> tuple[Tensor, Tensor]:
    """Cosine and sine, exact for multiples of 90 degrees."""
    quarters = torch.round(degrees / 90)
    rest = torch.deg2rad(degrees - 90 * quarters)
    cosine, sine = torch.cos(rest), torch.sin(rest)
    quarter = torch.remainder(quarters, 4)
    odd, negative = torch.remainder(quarter, 2) == 1, quarter >= 2
    sign = 1.0 - 2.0 * negative.to(degrees)
    return torch.where(odd, -sine, cosine) * sign, torch.where(odd, cosine, sine) * sign


def _draw_turns(settings: ViewSettings, draws: _Draws) -> tuple[Tensor, Tensor]:
    """Turns in degrees, and which images are mirrored."""
    if settings.turn == "none":
        return torch.zeros_like(draws.turn), torch.zeros_like(draws.mirror, dtype=torch.bool)
    degrees = 90 * torch.floor(4 * draws.turn) if settings.turn == "grid" else 360 * draws.turn
    return degrees, draws.mirror < 0.5


def _draw_boxes(settings: ViewSettings, draws: _Draws) -> Float[Tensor, "b 4"]:
    """Boxes as `sampling_matrices` takes them."""
    low, high = settings.crop_scale
    area = low + (high - low) * draws.area
    narrow, wide = (math.log(ratio) for ratio in settings.crop_ratio)
    limit = -torch.log(area)
    least, most = (-limit).clamp(min=narrow), limit.clamp(max=wide)
    log_ratio = (least + (most - least) * draws.ratio).clamp(-limit, limit)
    stretch = torch.exp(log_ratio / 2)
    width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    x, y = (2 * draws.across - 1) * (1 - width), (2 * draws.down - 1) * (1 - height)
    return torch.stack([x, y, width, height], 1)


def _draw_colours(settings: ViewSettings, draws: _Draws) -> ColourChange:
    on = draws.jitter < settings.jitter

    def factor(most: float, number: Tensor) -> Tensor:
        return torch.where(on, 1 + most * (2 * number - 1), 1.0)

    gray = draws.grayscale < settings.grayscale
    return ColourChange(
        brightness=factor(settings.brightness, draws.brightness),
        contrast=factor(settings.contrast, draws.contrast),
        saturation=torch.where(gray, 0.0, factor(settings.saturation, draws.saturation)),
        hue=torch.where(on, settings.hue * (2 * draws.hue - 1), 0.0),
    )


def _check_square(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images of shape {tuple(images.shape)}: allowed: (batch, channels, side, side)")


def _to_unit(images: Tensor) -> Float[Tensor, "b c h w"]:
    return images.float() if images.is_floating_point() else images.float().div_(255)


# The caches keep constants on the device, because making them copies from the host on every call. They are
# made outside inference mode, or they could never take part in a gradient.


@lru_cache(maxsize=64)
def _inside(side: int, device: torch.device) -> Bool[Tensor, "s s"]:
    with torch.inference_mode(False):
        return torch.tensor(disc(side), device=device)


@lru_cache(maxsize=64)
def _normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], top: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Factor and summand of each channel, for images whose largest value is `top`."""
    with torch.inference_mode(False):
        centre, deviation = torch.tensor([mean, std], dtype=torch.float64).view(2, 1, -1, 1, 1)
        scale, shift = 1 / (top * deviation), -centre / deviation
        return scale.float().to(device), shift.float().to(device)
