"""Encoders of different groups that can be compared: equal parameters or equal channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import torch

from eqssl.encoders import network
from eqssl.encoders.base import Encoder, Shape, parameter_count
from eqssl.nn.filters import filter_basis
from eqssl.symmetry import group

if TYPE_CHECKING:
    from eqssl.params import EncoderSettings


def create(
    settings: EncoderSettings,
    group_name: str,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    generator: torch.Generator | None = None,
) -> Encoder:
    """A new encoder for a group.

    Args:
        settings: the section `encoder` of params.yaml.
        group_name: name of the group.
        image_shape: channels, height and width of an image.
        mean: of each channel of the training images, in [0, 1].
        std: of each channel likewise.
        generator: draws the first weights.

    Raises:
        ValueError: for an unknown group or images that are not square.
    """
    if image_shape[1] != image_shape[2]:
        raise ValueError(f"image_shape: given {image_shape}, allowed: square images")
    architecture = network(settings.name)

    def shape(name: str, fields: Sequence[int]) -> Shape:
        return Shape(
            group=name,
            order=group(name).order,
            fields=tuple(fields),
            kernel=settings.kernel,
            image=image_shape,
            group_pooling=settings.group_pooling,
            mean=tuple(mean),
            std=tuple(std),
        )

    def parameters(name: str, fields: Sequence[int]) -> int:
        with torch.device("meta"):
            return parameter_count(architecture(shape(name, fields), partial(filter_basis, name)))

    if settings.match == "channels":
        fields = [max(1, round(width / group(group_name).order)) for width in settings.width]
    elif group_name == "trivial":
        fields = list(settings.width)
    else:
        target = parameters("trivial", settings.width)
        fields = matched_fields(settings.width, target, lambda candidate: parameters(group_name, candidate))
    return architecture(shape(group_name, fields), partial(filter_basis, group_name), generator)


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
