"""Build encoders. Those of different groups have equal parameters or channels, so they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import torch

from eqssl.config.masks import Mask, group_refusal
from eqssl.encoders import network
from eqssl.encoders.base import Encoder, Shape
from eqssl.encoders.layers import CountedLayers, EquivariantLayers
from eqssl.encoders.windows import check_windows
from eqssl.symmetry import group
from eqssl.symmetry.filter_bases import filter_basis
from eqssl.symmetry.fourier import ROTATIONS, field_size, sampling_matrix

if TYPE_CHECKING:
    from eqssl.config.encoders import EncoderSettings


def build_encoder(
    settings: EncoderSettings,
    group_name: str,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    generator: torch.Generator | None = None,
    mask: Mask = "disc",
) -> Encoder:
    """A new encoder for a group.

    Args:
        settings: the section `encoder` of params.yaml.
        group_name: name of the group.
        image_shape: channels, height and width of an image.
        mean: mean of each channel of the training images, in [0, 1].
        std: standard deviation of each channel, likewise.
        generator: draws the first weights.
        mask: `none` if the images have corners, else `disc`.

    Raises:
        ValueError: for an unknown group, images that are not square, images with corners and a group that
            turns them out of the image, or a layer that would break the symmetry at this size.

    Example:
        >>> import torch
        >>> from eqssl.config.encoders import EncoderSettings
        >>> settings = EncoderSettings.read({"name": "cnn", "width": [8, 16], "kernel": 3, "match": "params",
        ...     "group_pooling": "mean"}, "encoder")
        >>> encoder = build_encoder(settings, "D4", (3, 32, 32), mean=[0.5] * 3, std=[0.25] * 3)
        >>> encoder(torch.randn(2, 3, 32, 32)).shape[-1]
        8
    """
    if image_shape[1] != image_shape[2]:
        raise ValueError(f"image_shape: given {image_shape}, allowed: square images")
    reason = group_refusal(mask, group_name)
    if reason:
        raise ValueError(f"group: given {group_name!r} with images of mask 'none': {reason}")
    G, architecture = group(group_name), network(settings.name)

    def shape(name: str, fields: Sequence[int]) -> Shape:
        return _shape(settings, name, fields, image_shape, mean, std, mask)

    fields = _fields(settings, group_name, architecture, _width(settings), shape)
    check_windows(architecture, shape(group_name, fields))
    return architecture(
        shape(group_name, fields),
        EquivariantLayers(
            field_size(G),
            sampling_matrix(G, ROTATIONS) if G.is_continuous else None,
            partial(filter_basis, group_name),
            generator,
        ),
        EquivariantLayers(1, None, partial(filter_basis, "trivial"), generator),
        sampling_matrix(G) if G.is_continuous else None,
    )


def check_side(settings: EncoderSettings, group_name: str, side: int) -> None:
    """Refuse images of a side at which an encoder would lose its symmetry; none is built.

    Raises:
        ValueError: names the layer, and the nearest sizes that work.
    """
    # the windows do not depend on how many fields there are
    shape = _shape(settings, group_name, _width(settings), (1, side, side), (0.5,), (0.5,), "disc")
    check_windows(network(settings.name), shape)


def _width(settings: EncoderSettings) -> tuple[int, ...]:
    """Channels of each stage of the plain network."""
    return settings.width or network(settings.name).default_width


def _shape(
    settings: EncoderSettings,
    name: str,
    fields: Sequence[int],
    image: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    mask: Mask,
) -> Shape:
    """The numbers of an encoder for the group `name`."""
    G, stages = group(name), len(_width(settings))
    kept = stages if settings.equivariant_stages is None else settings.equivariant_stages
    return Shape(
        name=settings.name,
        group=name,
        order=G.order,
        size=field_size(G),
        samples=ROTATIONS * (1 + (name == "O2")) if G.is_continuous else 0,
        fields=tuple(fields),
        equivariant_stages=stages if name == "trivial" else min(kept, stages),
        kernel=settings.kernel,
        downsampling=settings.downsampling,
        image=image,
        group_pooling=settings.group_pooling,
        mean=tuple(mean),
        std=tuple(std),
        mask=mask,
    )


def _fields(
    settings: EncoderSettings,
    group_name: str,
    architecture: type[Encoder],
    width: tuple[int, ...],
    shape: Callable[[str, Sequence[int]], Shape],
) -> Sequence[int]:
    """Number of fields of each stage, as `encoder.match` asks."""
    if group_name == "trivial":
        return width
    if settings.match == "channels":
        size, kept = field_size(group(group_name)), shape(group_name, width).equivariant_stages
        return [max(1, round(w / (size if i < kept else 1))) for i, w in enumerate(width)]

    def parameters(name: str, fields: Sequence[int]) -> int:
        counted = CountedLayers(field_size(group(name)), partial(filter_basis, name))
        plain = CountedLayers(1, partial(filter_basis, "trivial"))
        architecture(shape(name, fields), counted, plain)
        return counted.parameters + plain.parameters

    target = parameters("trivial", width)
    return matched_fields(width, target, lambda fields: parameters(group_name, fields))


def matched_fields(
    width: Sequence[int], target: int, parameters: Callable[[Sequence[int]], int]
) -> list[int]:
    """Fields of each stage whose number of parameters is nearest to a target.

    The stages keep the proportions of `width`: one common factor is found by bisection, then every stage is
    rounded down or up, whichever combination comes nearest (the first of equals).

    Args:
        width: channels of each stage of the plain network.
        target: number of parameters wanted.
        parameters: number of parameters of a network with given fields.
    """

    def scaled(factor: float) -> list[int]:
        return [max(1, int(channels * factor)) for channels in width]

    low, high = 0.0, 2.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if parameters(scaled(middle)) <= target else (low, middle)
    choices = product(*([fields, fields + 1] for fields in scaled(low)))
    return min(map(list, choices), key=lambda fields: abs(parameters(fields) - target))
