"""MoCo v3: tell the key of the same image from all keys of the batch, with turns absorbed or plain."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_pair, check_positive
from eqssl.losses.gathering import gathered
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.log_sum_exp import log_sum_exp
from eqssl.losses.module import LossModule
from eqssl.losses.paired import paired_similarity
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group


@in_full_precision
def moco_v3(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """InfoNCE of queries against the keys of the batch (Chen et al. 2021, arXiv 2104.02057, algorithm 1).

        2 t * mean over i of  -log( exp(s(q_i, k_i) / t) / sum over j of exp(s(q_i, k_j) / t) )

    q are the predicted queries and k the keys. The method adds the same with the views exchanged. With a
    kind, s absorbs the turns of both of its inputs; with kind None it is the cosine, as published.

    Args:
        z1: embeddings of the trained branch after its predictor (queries).
        z2: embeddings of the momentum branch (keys), in the same order; without gradient.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: t, and tau of softmax.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, the temperature is not positive, the
            batch has one image, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> turned = act_on_regular(G, z1, G.elements[1])
        >>> bool(torch.isclose(moco_v3(turned, z2, G), moco_v3(z1, z2, G)))
        True
    """
    check_pair(z1, z2, G, least=2)
    check_positive(temperature=temperature)
    keys = z2.detach()
    positive = paired_similarity(z1, keys, G, kind, temperature, angles) / temperature
    total = log_sum_exp(z1, gathered(keys), G, kind, temperature, angles)
    return 2 * temperature * (total - positive).mean()


class MoCoV3Loss(LossModule):
    """Module form of `moco_v3`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = MoCoV3Loss(group("C4"))
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> loss(z1, z2).shape
        torch.Size([])
    """

    loss = staticmethod(moco_v3)
