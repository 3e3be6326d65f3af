"""SwAV: predict the other view's assignment to prototypes, with turns absorbed or plain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_fields, check_pair, check_positive
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.module import LossModule
from eqssl.losses.precision import in_full_precision
from eqssl.losses.prototype_scores import cross_entropy, prototype_scores
from eqssl.losses.sinkhorn import sinkhorn
from eqssl.symmetry.groups import Group


def swav(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    c: Float[Tensor, "prototypes fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    queue: Float[Tensor, "2 queue fields order"] | None = None,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """Swapped prediction of two views (Caron et al. 2020, arXiv 2006.09882, section 3).

        1/2 ( l(z1, code of z2) + l(z2, code of z1) ),  l(z, q) = mean over i of
                                                                  -sum over k of q_ik log p_ik(z)
        p(z) = softmax over k of s(z_i, c_k) / t,       code of z = sinkhorn(s(z, c)),  without gradient

    Prototypes are fields, as embeddings are, and both are normalised. With a kind, s absorbs the turns of
    embedding and prototype; with kind None it is the cosine, as published.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views, in the same order.
        c: the prototypes.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: t, and tau of softmax.
        epsilon: how soft the codes are (`eqssl.losses.sinkhorn`).
        iterations: of Sinkhorn.
        queue: earlier embeddings of first and of second views, which take part in the assignment of theirs;
            without gradient.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, a setting is not positive, or there is no
            such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2, c = torch.randn(3, 8, 16, 4)
        >>> turned = act_on_regular(G, c, G.elements[1])
        >>> bool(torch.isclose(swav(z1, z2, turned, G), swav(z1, z2, c, G)))
        True
    """
    return swav_crops([z1, z2], c, G, kind, temperature, epsilon, iterations, queue, angles, coded=2)


@in_full_precision
def swav_crops(
    views: Sequence[Float[Tensor, "batch fields order"]],
    c: Float[Tensor, "prototypes fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    queue: Float[Tensor, "coded queue fields order"] | None = None,
    angles: int = ANGLES,
    coded: int = 2,
) -> Float[Tensor, ""]:
    """`swav` with several views of an image (Caron et al. 2020, arXiv 2006.09882, section 3.2).

    The first `coded` views give codes, and each code is predicted from every other view. The loss is the mean
    over all such pairs.

    Args:
        views: embeddings of each view, in the same order of images.
        c: the prototypes.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: t, and tau of softmax.
        epsilon: how soft the codes are (`eqssl.losses.sinkhorn`).
        iterations: of Sinkhorn.
        queue: for each coded view its earlier embeddings, which take part in the assignment; without
            gradient.
        angles: of SO2 and O2, at how many angles the embeddings are compared.
        coded: how many views give codes.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, a setting is not positive, there are too
            few views, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> *views, c = torch.randn(6, 8, 16, 4)
        >>> turned = [act_on_regular(G, z, g) for z, g in zip(views, [*G.elements, G.identity])]
        >>> bool(torch.isclose(swav_crops(turned, c, G), swav_crops(views, c, G)))
        True
    """
    _check_views(views, queue, G, coded)
    check_positive(temperature=temperature, epsilon=epsilon, iterations=iterations)
    # all views at once: one matrix product
    scores = prototype_scores(torch.cat(list(views)), c, G, kind, temperature, angles).chunk(len(views))
    losses = []
    for i in range(coded):
        known = scores[i].detach()
        if queue is not None:
            with torch.no_grad():
                known = torch.cat([prototype_scores(queue[i], c, G, kind, temperature, angles), known])
        codes = sinkhorn(known, epsilon, iterations)[-len(views[i]) :]
        losses += [cross_entropy(other, temperature, codes) for j, other in enumerate(scores) if j != i]
    return torch.stack(losses).mean()


def _check_views(views: Sequence[Tensor], queue: Tensor | None, G: Group, coded: int) -> None:
    if len(views) < 2 or not 1 <= coded <= len(views):
        raise ValueError(
            f"views, coded: given {len(views)} views of which {coded} give codes, "
            "allowed: at least two views, of which at least one gives codes"
        )
    for other in views[1:]:
        check_pair(views[0], other, G)
    if queue is None:
        return
    if queue.ndim != 4 or len(queue) != coded:
        raise ValueError(
            f"queue: given shape {tuple(queue.shape)}, allowed: "
            f"({coded}, queue, {views[0].shape[1]}, {G.order}), for each coded view its own"
        )
    check_fields("queue", queue[0], views[0], G)


class SwAVLoss(LossModule):
    """Module form of `swav`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = SwAVLoss(group("C4"))
        >>> z1, z2, prototypes = torch.randn(3, 8, 16, 4)
        >>> loss(z1, z2, prototypes).shape
        torch.Size([])
    """

    loss = staticmethod(swav)
