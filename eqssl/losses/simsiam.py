"""SimSiam: predict the other view's embedding without a momentum branch, with turns absorbed or plain."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_pair, check_positive
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.module import LossModule
from eqssl.losses.paired import paired_similarity
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group


@in_full_precision
def simsiam(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """Negative similarity of prediction and embedding (Chen & He 2021, arXiv 2011.10566, equation 1).

        mean over i of  -s(p_i, z_i)

    With kind None, s is the cosine, as published; with a kind it absorbs the turns of both of its inputs. The
    method takes the mean of this and the same with the views exchanged.

    Args:
        z1: embeddings after the predictor (p).
        z2: embeddings of the other views before the predictor (z), in the same order; without gradient.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: tau of softmax; the other kinds have no use for it.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, the temperature is not positive, or there
            is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z = torch.randn(8, 16, 4)
        >>> round(simsiam(act_on_regular(G, z, G.elements[1]), z, G).item(), 4)
        -1.0
    """
    check_pair(z1, z2, G)
    check_positive(temperature=temperature)
    return -paired_similarity(z1, z2.detach(), G, kind, temperature, angles).mean()


class SimSiamLoss(LossModule):
    """Module form of `simsiam`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = SimSiamLoss(group("C4"))
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> loss(z1, z2).shape
        torch.Size([])
    """

    loss = staticmethod(simsiam)
