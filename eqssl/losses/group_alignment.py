"""Group alignment: embeddings turned back by their orientation, and the loss that teaches the orientation."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group, act_on_regular_each


def turned_back(
    z: Float[Tensor, "batch fields order"], orientations: Int[Tensor, " batch"], G: Group
) -> Float[Tensor, "batch fields order"]:
    """`rho(g_i)^-1 z_i` for each embedding: group alignment (Lee et al., CVPR 2023, arXiv 2303.15472).

    If turning an input by h turns its embedding and its orientation, so that z_i and g_i become rho(h) z_i
    and h g_i, the result does not change. Unlike a mean over the group, it keeps all of the embedding.

    Args:
        z: embeddings.
        orientations: the position of g_i in `G.elements` for each.
        G: the group.

    Raises:
        ValueError: if the last axis does not fit the group, or there are more or fewer orientations.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G, z = group("C4"), torch.randn(1, 3, 4)
        >>> turned = act_on_regular(G, z, G.elements[3])
        >>> torch.equal(turned_back(turned, torch.tensor([3]), G), z)
        True
    """
    if z.ndim != 3 or z.shape[-1] != G.order:
        raise ValueError(f"z: given shape {tuple(z.shape)}, allowed: (batch, fields, {G.order})")
    if orientations.shape != z.shape[:1]:
        raise ValueError(f"orientations: given shape {tuple(orientations.shape)}, allowed: ({len(z)},)")
    return act_on_regular_each(G, z, orientations, inverse=True)


@in_full_precision
def orientation_loss(
    first: Float[Tensor, "batch order"],
    second: Float[Tensor, "batch order"],
    G: Group,
    relative: Int[Tensor, " batch"],
    exists: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Cross-entropy of the two views' histograms of orientations, of which one is turned to the other.

        mean over i of  -1/|G| sum over k of p_i(k) log q_i(k)
        p_i = softmax(rho(g_i) o_i),   q_i = softmax(o'_i),   g_i = (turn of view 2) (turn of view 1)^-1

    o and o' are the scores of the orientations of the first and second view. If each view is turned by an
    element of its own, the scores turn and g_i changes with them, and the loss stays the same. This is the
    orientation alignment of RELF (Lee et al., CVPR 2023, arXiv 2303.15472); gradients flow through both
    histograms.

    Args:
        first: the scores o.
        second: the scores o'.
        G: the group.
        relative: the position of g_i in `G.elements` for each pair.
        exists: which pairs have such an element. The others do not count.

    Returns:
        The loss, a scalar, in float32 at least; zero if no pair counts.

    Raises:
        ValueError: if the shapes do not fit each other or the group.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != G.order:
        given = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"orientations: given shapes {given}, allowed: twice (batch, {G.order})")
    p = torch.softmax(act_on_regular_each(G, first[:, None], relative).squeeze(1), 1)
    losses = -(p * torch.log_softmax(second, 1)).sum(1) / G.order
    weights = exists.to(losses)
    return (losses * weights).sum() / weights.sum().clamp(min=1)


@torch.no_grad()
def found_share(
    first: Float[Tensor, "batch order"],
    second: Float[Tensor, "batch order"],
    G: Group,
    relative: Int[Tensor, " batch"],
    exists: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Share of the pairs that count whose best orientations differ by the relative element; without gradient.

    The arguments are those of `orientation_loss`.
    """
    moved = act_on_regular_each(G, first[:, None], relative).squeeze(1)
    right = (moved.argmax(1) == second.argmax(1)) & exists
    return right.float().sum() / exists.float().sum().clamp(min=1)
