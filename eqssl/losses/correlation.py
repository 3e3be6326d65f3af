"""The correlation of embeddings over the group, computed directly."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.losses.kinds import ANGLES, check_shapes
from eqssl.symmetry.constants import constant
from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.interpolation import interpolation


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

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> b = torch.randn(1, 16, 4)
        >>> a = act_on_regular(G, b, G.elements[3])
        >>> correlation(a, b, G)[:, 0, 0].argmax().item()
        3
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


@constant
def _product_on(group_name: str, device: torch.device) -> Int[Tensor, "order order"]:
    """The multiplication table on a device."""
    return group(group_name).product.to(device)


@constant
def _interpolation_on(group_name: str, angles: int, device: torch.device) -> Float[Tensor, "elements order"]:
    """From values at the listed elements to those at the compared ones, on a device."""
    return interpolation(group_name, angles).to(device)
