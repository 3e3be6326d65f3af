"""Similarities of equivariant embeddings: plain, or absorbing a turn of each."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.interpolation import interpolation

Kind = Literal["max", "softmax", "pool", "align"]
ANGLES = 64
"""Angles at which embeddings of SO2 and O2 are compared unless a setting says otherwise."""


def unit(z: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields order"]:
    """Divide each embedding by its Euclidean norm over all `fields * order` numbers."""
    return F.normalize(z.flatten(1), dim=1).view_as(z)


def pooled(z: Float[Tensor, "batch fields order"]) -> Float[Tensor, "batch fields one"]:
    """The mean of each field over the group."""
    return z.mean(-1, keepdim=True)


def plain_similarity(
    a: Float[Tensor, "n fields order"], b: Float[Tensor, "m fields order"]
) -> Float[Tensor, "n m"]:
    """Cosine of the flattened embeddings, `<a, b> / (|a| |b|)`. Turning one input changes it."""
    return unit(a).flatten(1) @ unit(b).flatten(1).t()


def correlation(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"],
    G: Group,
    angles: int = ANGLES,
) -> Float[Tensor, "elements n m"]:
    """Correlation over the group: `<a, rho(g) b>` for every g, with `(rho(g) b)[g h] = b[h]`.

    Args:
        a: embeddings of n images; the last axis follows `G.elements`.
        b: embeddings of m images.
        G: the group.
        angles: of SO2 and O2, at how many equally spaced angles; other groups have no use for it.

    Raises:
        ValueError: if the shapes do not fit each other or the group.
    """
    check_shapes(a, b, G)
    n, m = len(a), len(b)
    # <a, rho(g) b> = sum over f, h of a[f, g h] b[f, h]
    turned = a[:, :, _product_on(G.name, a.device)]
    stacked = turned.permute(2, 0, 1, 3).reshape(G.order * n, -1)
    listed = (stacked @ b.flatten(1).t()).view(G.order, n, m)
    if not G.is_continuous:
        return listed
    return torch.tensordot(_interpolation_on(G.name, angles, a.device).to(listed.dtype), listed, 1)


def absorbed_similarity(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"],
    G: Group,
    kind: Kind = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, "n m"]:
    """Similarity that does not change when either input is turned.

    Mukuta & Harada (arXiv 2303.04427) ask for a loss that absorbs the transformation of each input. Any loss
    that depends on the embeddings through these similarities does.

        max:      max over g of <a, rho(g) b>
        align:    the same number: b is turned by the best element, found without gradient, then compared
        softmax:  tau log mean over g of exp(<a, rho(g) b> / tau)
        pool:     <mean over g of a, mean over g of b>

    For max and softmax, a and b are first normalised to length 1; for pool, their means are.

    Args:
        a: embeddings of n images; the last axis follows `G.elements`.
        b: embeddings of m images.
        G: the group.
        kind: max, align, softmax or pool.
        temperature: tau of softmax.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        All n x m similarities, between -1 and 1.

    Raises:
        ValueError: if there is no such kind, or the shapes do not fit each other or the group.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z = torch.randn(2, 3, 4)
        >>> turned = act_on_regular(G, z, G.elements[1])
        >>> bool(torch.allclose(absorbed_similarity(z, turned, G), absorbed_similarity(z, z, G), atol=1e-6))
        True
    """
    check_kind(kind)
    check_shapes(a, b, G)
    if G.order == 1:
        return plain_similarity(a, b)
    if kind == "pool":
        return plain_similarity(pooled(a), pooled(b))
    products = correlation(unit(a), unit(b), G, angles)
    if kind == "softmax":
        return temperature * (torch.logsumexp(products / temperature, 0) - math.log(len(products)))
    return products.amax(0)


def similarity(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, "n m"]:
    """`absorbed_similarity`, or `plain_similarity` for kind None."""
    if kind is None:
        check_shapes(a, b, G)
        return plain_similarity(a, b)
    return absorbed_similarity(a, b, G, kind, temperature, angles)


@cache
def _product_on(group_name: str, device: torch.device) -> Int[Tensor, "order order"]:
    """The multiplication table on a device. Cached: a copy in every step would wait for the device."""
    return group(group_name).product.to(device)


@cache
def _interpolation_on(group_name: str, angles: int, device: torch.device) -> Float[Tensor, "elements order"]:
    """From values at the listed elements to those at the compared ones, on a device, for the same reason."""
    return interpolation(group_name, angles).to(device)


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
