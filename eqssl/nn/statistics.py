"""For batch norm: numbers per field from numbers per channel, and back.

The constant function 1 on the group is e = (1, ..., 1) in the channels of a regular field and (1, 0, ..., 0)
in Fourier coefficients. Channels are group-major: `channel = place * fields + field`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def repeated(values: Float[Tensor, " fields"], size: int) -> Float[Tensor, " channels"]:
    """Repeat each field's number for each of its channels."""
    # `repeat` is one expression when compiled, and a dozen small operations otherwise
    if torch.compiler.is_compiling():
        return values.repeat(size)
    # torch's batch norm kernels read contiguous memory
    return torch.cat([values] * size)


def as_constants(values: Float[Tensor, " fields"], size: int, fourier: bool) -> Float[Tensor, " channels"]:
    """The channels of fields that are constant on the group, value times e.

    Args:
        values: one for each field.
        size: channels of a field.
        fourier: whether the channels are Fourier coefficients.
    """
    return F.pad(values, (0, (size - 1) * len(values))) if fourier else repeated(values, size)


def along_constant(
    channels: Float[Tensor, " channels"], size: int, fourier: bool
) -> Float[Tensor, " fields"]:
    """The inner product of each field's channels with e; the transpose of `as_constants`."""
    by_place = channels.view(size, -1)
    return by_place[0] if fourier else by_place.sum(0)


def of_fields(
    means: Float[Tensor, " channels"], variances: Float[Tensor, " channels"], size: int, fourier: bool
) -> tuple[Float[Tensor, " fields"], Float[Tensor, " fields"]]:
    """Mean <e, x> / |e|^2 and variance |x - mean e|^2 / |e|^2 of fields.

    Args:
        means: of the channels.
        variances: of the channels, each around its own mean.
        size: channels of a field.
        fourier: whether the channels are Fourier coefficients.
    """
    means, variances = means.view(size, -1), variances.view(size, -1)
    if not fourier:
        mean = means.mean(0)
        apart = means - mean
        return mean, variances.addcmul(apart, apart).mean(0)
    # |e|^2 is 1 there
    mean = means[0]
    apart = torch.cat([torch.zeros_like(means[:1]), means[1:]])
    return mean, variances.addcmul(apart, apart).sum(0)


def count_of_field(x: Float[Tensor, "batch channels height width"], fields: int, fourier: bool) -> int:
    """How many numbers a field's mean is taken over: |e|^2 for each pixel of the batch."""
    return x.numel() // x.shape[1] if fourier else x.numel() // fields
