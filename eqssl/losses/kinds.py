"""The kinds of similarity of equivariant embeddings, and what all of them share."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.symmetry.groups import Group

Kind = Literal["max", "softmax", "pool", "align"]
ANGLES = 64
"""Angles at which embeddings of SO2 and O2 are compared unless a setting says otherwise."""


def unit(z: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields order"]:
    """Divide each embedding by its Euclidean norm over all `fields * order` numbers.

    Example:
        >>> import torch
        >>> z = unit(torch.randn(8, 16, 4))
        >>> torch.allclose(z.square().sum((1, 2)), torch.ones(8))
        True
    """
    return F.normalize(z.flatten(1), dim=1).view_as(z)


def pooled(z: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields one"]:
    """The mean of each field over the group."""
    return z.mean(-1, keepdim=True)


def absorbed(products: Tensor, kind: Kind | None, temperature: float, axis: int) -> Tensor:
    """The similarity of pairs whose correlation lies along an axis, for max, align or softmax."""
    if kind == "softmax":
        count = math.log(products.shape[axis])
        return temperature * (torch.logsumexp(products / temperature, axis) - count)
    return products.amax(axis)


def check_kind(kind: str | None) -> None:
    """Check the name of a similarity.

    Raises:
        ValueError: names those that there are.
    """
    if kind is not None and kind not in get_args(Kind):
        raise ValueError(f"kind: given {kind!r}, allowed: {', '.join(get_args(Kind))}, or None")


def check_shapes(a: Tensor, b: Tensor, G: Group) -> None:
    """Check that a and b are embeddings of a group with equally many fields.

    Raises:
        ValueError: names the shape.
    """
    for name, z in (("a", a), ("b", b)):
        if z.ndim != 3 or z.shape[1] != a.shape[1] or z.shape[2] != G.order:
            expected = f"(batch, {a.shape[1] if a.ndim == 3 else 'fields'}, {G.order})"
            raise ValueError(f"{name}: given shape {tuple(z.shape)}, allowed: {expected}")
