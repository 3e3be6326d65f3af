"""MoCo v2: tell the key of the same image from a queue of earlier keys, with turns absorbed or plain."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_fields, check_pair, check_positive
from eqssl.losses.gathering import gathered
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.log_sum_exp import log_sum_exp
from eqssl.losses.module import LossModule
from eqssl.losses.paired import paired_similarity
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group


@in_full_precision
def moco(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    queue: Float[Tensor, "queue fields order"] | None = None,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """InfoNCE of queries against a queue (He et al. 2020, arXiv 1911.05722, section 3.1, and 2003.04297).

        mean over i of  -log( e(q_i, k_i) / (e(q_i, k_i) + sum over u of e(q_i, u)) ),  e = exp(s / t)

    q are the queries, k the keys, and u runs over the queue, or over the keys of the other images of the
    batch. With a kind, s absorbs the turns of both of its inputs; with kind None it is the cosine, as
    published.

    Args:
        z1: embeddings of the trained branch (queries).
        z2: embeddings of the momentum branch (keys), in the same order; without gradient.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: t, and tau of softmax.
        queue: keys of earlier batches, without gradient; None for the other keys of the batch, of
            all processes that train together.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, the temperature is not positive, there is
            no negative, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2, queue = torch.randn(3, 8, 16, 4)
        >>> turned = act_on_regular(G, queue, G.elements[1])
        >>> bool(torch.isclose(moco(z1, z2, G, queue=turned), moco(z1, z2, G, queue=queue)))
        True
    """
    check_pair(z1, z2, G, least=2 if queue is None else 1)
    check_positive(temperature=temperature)
    keys = z2.detach()
    positive = paired_similarity(z1, keys, G, kind, temperature, angles) / temperature
    if queue is None:
        total = log_sum_exp(z1, gathered(keys), G, kind, temperature, angles)
    else:
        check_fields("queue", queue, z1, G)
        negatives = log_sum_exp(z1, queue.detach(), G, kind, temperature, angles)
        total = torch.logaddexp(positive, negatives)
    return (total - positive).mean()


class MoCoLoss(LossModule):
    """Module form of `moco`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = MoCoLoss(group("C4"))
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> loss(z1, z2).shape
        torch.Size([])
    """

    loss = staticmethod(moco)
