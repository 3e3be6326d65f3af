r"""Random views of a batch of images, drawn on the images' own device, independently for each image.

`random_view` does the following, in this order:

1. *Turn.* `angle`: a uniform element of O(2), that is a reflection with probability 1/2, then a turn by an
   angle uniform in [0, 360) degrees. `grid`: a uniform element of D4, the eight symmetries of a square.
   `none`: neither.
2. *Crop.* The area `a` of the crop, as a share of the turned image's square, is uniform in `crop_scale`. A
   box of that area fits into the square if its ratio of width to height is in [a, 1/a]. The logarithm of
   the ratio is uniform over the part of `crop_ratio` that fits, and the position of the box is uniform over
   the square. No box is drawn again or cut off, so the areas are exactly uniform (torchvision redraws until
   a box fits, which favours small boxes). If no ratio of `crop_ratio` fits, the box has the nearest ratio
   that does. Turn and crop are one bilinear resampling, with zeros outside, to the size of the image or to
   another size. A view as large as the image never shrinks the box, so nothing needs smoothing. A smaller
   view may. Bilinear samples leave out no pixel as long as they are at most two pixels apart. If the
   largest box that the settings allow would put them further apart, a view is sampled k times as finely,
   where k is the smallest number that brings samples within one pixel, and each pixel of the view is the
   mean of k x k samples.
3. *Colours*, with probability `jitter`: the brightness is multiplied by a factor uniform in [1 -
   brightness, 1 + brightness], and so are the contrast about the mean luma and, with 3 channels, the
   saturation. With 3 channels the hue is rotated by a share of a full circle, uniform in [-hue, hue]
   (`eqssl.data.views.colour`). Independently, images with 3 channels become gray with probability
   `grayscale`. Values are clipped to [0, 1].
4. *Blur*, with probability `blur`: a Gaussian with a standard deviation uniform in [0.1, 2] pixels and a
   kernel a tenth of the view wide (Chen et al. 2020, appendix A).
5. *Solarisation*, with probability `solarise`: a value x above 1/2 becomes 1 - x (Grill et al. 2020, arXiv
   2006.07733, appendix B).
6. Everything outside the inscribed disc is set to 0, unless the images have no mask. Those have no turn by
   `angle`, which would fill corners with zeros.

Because the turn comes first, an image and the same image turned by an element of D4 have views of the same
distribution under `grid` and `angle`. Every image uses equally many random numbers whatever the settings,
so switching off the blur, for example, does not change the crops.

Consecutive images may share the crop, the angle of the turn, and the change of colours, as pairs do in STL
(Yu et al. 2024, arXiv 2501.08712). Mirroring, blur and solarisation are still drawn for each image.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from eqssl.config.masks import Mask, turn_refusal
from eqssl.config.views import ViewSettings
from eqssl.data.views.colour import ColourChange, blur, blur_radius, change_colours, solarise
from eqssl.data.views.normalise import cut_disc
from eqssl.symmetry.turning import resample, sampling_matrices
from eqssl.symmetry.turns import Turns

BLUR_SIGMA = (0.1, 2.0)
"""Least and largest standard deviation of the blur in pixels."""


class _Draws(NamedTuple):
    """Uniform random numbers in [0, 1), one of each kind per image."""

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

    @property
    def solarise(self) -> Tensor:
        """The last 12 of the 24 bits of `sigma`, which its first 12 say nothing of.

        A number of its own would change all views of earlier settings with the same seed, and with them every
        published result.
        """
        return torch.frac(4096 * self.sigma)


_NOT_SHARED = ("mirror", "blur", "sigma")


def random_view(
    images: UInt8[Tensor, "b c s s"],
    settings: ViewSettings,
    generator: torch.Generator,
    size: int | None = None,
    mask: Mask = "disc",
) -> Float[Tensor, "b c size size"]:
    """Draw one view of each image. The docstring of the module describes the distribution.

    Args:
        images: square, uint8 (or floating point in [0, 1]).
        settings: the distribution.
        generator: on the device of the images; the global generator of random numbers is not touched.
        size: side of the view in pixels; None for that of the image.
        mask: `disc` sets everything outside the inscribed disc to 0.

    Returns:
        float32 in [0, 1] up to rounding, not normalised.

    Raises:
        ValueError: if the images are not a batch of squares, the size is not positive, or images without a
            mask are to be turned by any angle.

    Example:
        >>> import eqssl, torch
        >>> settings = eqssl.Params.load("params.yaml").views
        >>> images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
        >>> view = random_view(images, settings, torch.Generator().manual_seed(0), size=24)
        >>> view.shape, view.dtype
        (torch.Size([8, 3, 24, 24]), torch.float32)
    """
    return random_turned_view(images, settings, generator, size, mask)[0]


def random_turned_view(
    images: UInt8[Tensor, "b c s s"],
    settings: ViewSettings,
    generator: torch.Generator,
    size: int | None = None,
    mask: Mask = "disc",
    shared: int = 1,
) -> tuple[Float[Tensor, "b c size size"], Turns]:
    """`random_view`, and how each image was turned for it.

    With `shared` above 1, so many consecutive images share crop, angle and colours. A smaller rest of the
    batch joins the images before it.
    """
    return view_of_numbers(images, draw_numbers(len(images), generator), settings, size, mask, shared)


def draw_numbers(count: int, generator: torch.Generator) -> Float[Tensor, "count numbers"]:
    """The random numbers of one view of each image, on the generator's device; see `view_of_numbers`."""
    return torch.rand((count, len(_Draws._fields)), generator=generator, device=generator.device)


def with_turns_of(
    numbers: Float[Tensor, "count numbers"], others: Float[Tensor, "count numbers"]
) -> Float[Tensor, "count numbers"]:
    """The numbers, but with the turn and the mirroring of others."""
    theirs = _Draws(*others.unbind(1))
    return torch.stack(_Draws(*numbers.unbind(1))._replace(turn=theirs.turn, mirror=theirs.mirror), 1)


@torch.no_grad()
def view_of_numbers(
    images: UInt8[Tensor, "b c s s"],
    numbers: Float[Tensor, "b numbers"],
    settings: ViewSettings,
    size: int | None = None,
    mask: Mask = "disc",
    shared: int = 1,
) -> tuple[Float[Tensor, "b c size size"], Turns]:
    """What `random_turned_view` makes of numbers of `draw_numbers`: the same numbers make the same views."""
    reason = turn_refusal(mask, settings.turn)
    if reason:
        raise ValueError(f"views.turn: given {settings.turn!r} with images of mask 'none': {reason}")
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images of shape {tuple(images.shape)}: allowed: (batch, channels, side, side)")
    side = images.shape[-1] if size is None else size
    if side < 1:
        raise ValueError(f"size of a view: given {size}, allowed: at least 1")
    # Autocast would round the small matrices to bfloat16, and pixels would land in the wrong places.
    with torch.autocast(images.device.type, enabled=False):
        draws = _share(_Draws(*numbers.unbind(1)), shared)
        turns = _draw_turns(settings, draws)
        matrices = sampling_matrices(_draw_boxes(settings, draws), turns.degrees, turns.mirrored)
        finer = samples_per_pixel(images.shape[-1], side, settings)
        views = resample(_to_unit(images), matrices, finer * side)
        if finer > 1:
            views = F.avg_pool2d(views, finer)
        views = _change_values(views, settings, draws)
        return cut_disc(views) if mask == "disc" else views, turns


def samples_per_pixel(side: int, size: int, settings: ViewSettings) -> int:
    """How many samples along each axis are averaged for a pixel of a view.

    One, if the samples of the largest box are at most two pixels of the image apart; else as many as bring
    them within one pixel.

    Args:
        side: side of the image in pixels.
        size: side of the view in pixels.
        settings: the distribution of the view.
    """
    area, (narrow, wide) = settings.crop_scale[1], settings.crop_ratio
    longest = min(1.0, math.sqrt(area * max(wide, 1 / narrow)))  # in shares of the image's side
    shrunk = longest * side / size
    return 1 if shrunk <= 2 else math.ceil(shrunk)


def _share(draws: _Draws, count: int) -> _Draws:
    """Draws of which `count` consecutive images have those of the first, but for some kinds."""
    if count == 1:
        return draws
    images = len(draws.area)
    runs = torch.arange(images, device=draws.area.device) // count
    first = count * runs.clamp(max=max(images // count - 1, 0))
    kept = {name: getattr(draws, name) for name in _NOT_SHARED}
    return _Draws(*(draw[first] for draw in draws))._replace(**kept)


def _draw_turns(settings: ViewSettings, draws: _Draws) -> Turns:
    if settings.turn == "none":
        return Turns(torch.zeros_like(draws.turn), torch.zeros_like(draws.mirror, dtype=torch.bool))
    degrees = 90 * torch.floor(4 * draws.turn) if settings.turn == "grid" else 360 * draws.turn
    return Turns(degrees, draws.mirror < 0.5)


def _change_values(
    views: Float[Tensor, "b c h w"], settings: ViewSettings, draws: _Draws
) -> Float[Tensor, "b c h w"]:
    """Everything after the turn and the crop: colours, blur, solarisation."""
    if settings.jitter > 0 or (settings.grayscale > 0 and views.shape[1] == 3):
        views = change_colours(views, _draw_colours(settings, draws))
    if settings.blur > 0:
        low, high = BLUR_SIGMA
        sigma = low + (high - low) * draws.sigma
        views = blur(views, sigma, blur_radius(views.shape[-1]), draws.blur < settings.blur)
    if settings.solarise > 0:
        views = solarise(views, draws.solarise < settings.solarise)
    return views


def _draw_boxes(settings: ViewSettings, draws: _Draws) -> Float[Tensor, "b 4"]:
    """The crops, as `sampling_matrices` takes them."""
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


def _to_unit(images: Tensor) -> Float[Tensor, "b c h w"]:
    return images.float() if images.is_floating_point() else images.float().div_(255)
