"""How many images are taken at a time, and how many are measured, so that memory and time stay bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from eqssl.encoders import Encoder

MOST = 512
"""Most images of a batch."""
_WORKING_BYTES = 100 * 2**20
"""Bytes of the input and output of the widest layer, for a whole batch."""
_GALLERY_BYTES = 2**26
"""Bytes of the stored images that are measured."""
_SMALL = 64
"""Side in pixels up to which the most images are measured, whatever that takes."""
_SHARE = 1 / 15
"""Passes of each of the three measurements of larger images, as a share of those that the features need."""


class Sample(NamedTuple):
    """How many test images are measured.

    Attributes:
        errors: for the errors of equivariance.
        turned: for the change with the angle.
        gallery: for the retrieval of moved images.
        batch: images at a time.
    """

    errors: int = 512
    turned: int = 128
    gallery: int = 1000
    batch: int = 128


MOST_MEASURED, _LEAST = Sample(), Sample(16, 4, 128)


def batch_size(encoder: Encoder, image_shape: tuple[int, int, int] | None = None) -> int:
    """Images that the encoder takes at a time: a power of two, 512 at most.

    The largest layer decides, so that its input and output have at most 100 MiB. One pass of a blank image
    finds it.

    Args:
        encoder: the encoder.
        image_shape: channels, height and width of the images; None for those that it was made for.
    """
    batch, bytes_of_one = MOST, _largest_layer(encoder, image_shape or encoder.image_shape)
    while batch > 1 and batch * bytes_of_one > _WORKING_BYTES:
        batch //= 2
    return batch


def sample(side: int, order: int, angles: int, passes: int, image_bytes: int, batch: int) -> Sample:
    """How many test images are measured. The number depends on images and settings and on nothing else.

    Small images: 512 for errors, 128 for angles, 1,000 for retrieval. Each measurement of larger ones takes
    at most a fifteenth of the passes that the features need, but 16, 4 and 128 images at least, and the
    images stay below 64 MiB.

    Args:
        side: of an image, in pixels.
        order: of the group.
        angles: number of angles.
        passes: images of all feature files, in all their views.
        image_bytes: of a stored image.
        batch: what `batch_size` gives.
    """
    most = MOST_MEASURED._replace(batch=min(batch, MOST_MEASURED.batch))
    if side <= _SMALL:
        return most
    each, fitting = int(passes * _SHARE), max(1, _GALLERY_BYTES // image_bytes)

    def bounded(most: int, least: int, passes_of_one: int) -> int:
        return min(most, max(least, each // passes_of_one), fitting)

    return Sample(
        errors=bounded(most.errors, _LEAST.errors, 1 + order),
        turned=bounded(most.turned, _LEAST.turned, 1 + angles),
        gallery=bounded(most.gallery, _LEAST.gallery, 2),
        batch=most.batch,
    )


def turned_images(wanted: int, side: int, moves: int, passes: int) -> int:
    """How many images are moved in every way. The number depends on images and settings and on nothing else.

    All that are wanted of small images. Larger ones take at most as many passes as the other feature files
    together, but 16 images at least.

    Args:
        wanted: how many are asked for; there are as many.
        side: of an image, in pixels.
        moves: of each image.
        passes: images of the other feature files, in all their views.

    >>> turned_images(500, 28, 24, 4_800), turned_images(500, 224, 24, 4_800)
    (500, 200)
    """
    return wanted if side <= _SMALL else min(wanted, max(_LEAST.errors, passes // moves))


def _largest_layer(encoder: Encoder, image_shape: tuple[int, int, int]) -> int:
    """Bytes of the input and output of the layer where these are most, for one image."""
    largest = 0

    def look(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        tensors = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        largest = max(largest, sum(tensor.nbytes for tensor in tensors))

    leaves = [layer for layer in encoder.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(look) for layer in leaves]
    try:
        with torch.no_grad():
            blank = torch.zeros(1, *image_shape, device=next(encoder.parameters()).device)
            encoder.stages(blank)
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, largest)
