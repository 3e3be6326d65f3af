"""Normalised temperature-scaled cross-entropy (NT-Xent): plain, or absorbing a turn of each input."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_pair, check_positive
from eqssl.losses.gathering import gathered, processes, rank
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.log_sum_exp import log_sum_exp
from eqssl.losses.module import LossModule
from eqssl.losses.paired import paired_similarity
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group


@in_full_precision
def nt_xent(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """NT-Xent of two views (Chen et al. 2020, arXiv 2002.05709, section 2.1).

        mean over i of  -log( exp(s(z_i, z_j(i)) / t) / sum over k != i of exp(s(z_i, z_k) / t) )

    The mean is over the 2n embeddings and j(i) is the other view of the same image. With a kind, s is
    `absorbed_similarity`, and independent turns of the inputs do not change the loss. With kind None, s is
    the cosine, and the loss is that of SimCLR. No table of all pairs is made (`log_sum_exp`). If several
    processes train together, k runs over the embeddings of all of them, and the mean over those of this one.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views, in the same order.
        G: the group.
        kind: max, softmax, pool, align, or None for the plain loss.
        temperature: t, and tau of softmax.
        angles: of SO2 and O2, at how many angles embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if the shapes do not fit each other or the group, the temperature is not positive, the
            batch has one image, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> turned = act_on_regular(G, z1, G.elements[1])
        >>> bool(torch.isclose(nt_xent(turned, z2, G), nt_xent(z1, z2, G)))
        True
    """
    check_pair(z1, z2, G, least=2)
    check_positive(temperature=temperature)
    told = (G, kind, temperature, angles)
    z = torch.cat([z1, z2])
    if processes() == 1:
        others = log_sum_exp(z, None, *told)
    else:
        others = log_sum_exp(z, gathered(z), *told, own=rank() * len(z))
    # similarities are symmetric, so both views of an image have the same one
    right = paired_similarity(z1, z2, *told)
    return others.mean() - right.mean() / temperature


class NTXent(LossModule):
    """Module form of `nt_xent`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = NTXent(group("C4"))
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> loss(z1, z2).shape
        torch.Size([])
    """

    loss = staticmethod(nt_xent)
