"""Which random views a pretext draws of each image: their number, size and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from eqssl.config.masks import Mask
from eqssl.config.views import ViewSettings
from eqssl.data.views.random_view import random_turned_view
from eqssl.encoders.base import Encoder
from eqssl.encoders.windows import check_windows
from eqssl.symmetry.turns import Turns


@dataclass(frozen=True)
class ViewSpec:
    """Views of one kind. Multi-crop (Caron et al. 2020, arXiv 2006.09882) is a tuple of two.

    Attributes:
        count: number of views of each image.
        size: their side in pixels; None keeps the image's.
        settings: the distribution that they are drawn from.
        shared: how many consecutive images of the batch share crop, angle and colours
            (`eqssl.data.views.random_view`).
        key: the setting that `size` comes from, for errors.
    """

    count: int
    size: int | None
    settings: ViewSettings
    shared: int = 1
    key: str = "size of a view"


class TurnedView(NamedTuple):
    """A view of each image of a batch, and what it did to the directions of the image.

    Attributes:
        images: the views, in [0, 1].
        turns: how each image was turned; None if that is not known.
    """

    images: Float[Tensor, "batch channel size size"]
    turns: Turns | None


def draw_turned_views(
    images: Shaped[Tensor, "batch channel side side"],
    specs: Sequence[ViewSpec],
    generator: torch.Generator,
    mask: Mask = "disc",
) -> list[TurnedView]:
    """Draw the views one after the other, in [0, 1], each of the whole batch.

    Args:
        images: as they are loaded: uint8, or float32 in [0, 255].
        specs: the views.
        generator: on the device of the images.
        mask: of the data set.
    """
    if images.is_floating_point():
        images = images / 255
    return [
        TurnedView(*random_turned_view(images, spec.settings, generator, spec.size, mask, spec.shared))
        for spec in specs
        for _ in range(spec.count)
    ]


def draw_views(
    images: Shaped[Tensor, "batch channel side side"],
    specs: Sequence[ViewSpec],
    generator: torch.Generator,
    mask: Mask = "disc",
) -> list[Float[Tensor, "batch channel size size"]]:
    """The images of `draw_turned_views`."""
    return [view.images for view in draw_turned_views(images, specs, generator, mask)]


def check_sizes(encoder: Encoder, specs: Sequence[ViewSpec]) -> None:
    """Refuse views of a size at which a window of the encoder would break the symmetry.

    Nothing is known of the windows of an encoder of one's own (`eqssl.encoders.RegularEncoder`).

    Raises:
        ValueError: names the setting, the size, the layer, and the nearest sizes that work.
    """
    for spec in specs:
        if spec.size is None or spec.size == encoder.image_shape[-1] or not isinstance(encoder, Encoder):
            continue
        shape = replace(encoder.shape, image=(encoder.image_shape[0], spec.size, spec.size))
        try:
            check_windows(type(encoder), shape)
        except ValueError as error:
            raise ValueError(f"{spec.key}: given {spec.size}: {error}") from None
