"""VICReg: variance, invariance and covariance of fields, with turns absorbed or plain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_not_negative, check_pair, check_positive
from eqssl.losses.field_statistics import off_diagonal_squares, rows_of_fields
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.module import LossModule
from eqssl.losses.paired import comparable
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group

# Of the paper: added to variances, because the slope of the root is infinite at zero.
_EPSILON = 1e-4


@in_full_precision
def vicreg(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """Variance-invariance-covariance regularisation (Bardes et al. 2022, arXiv 2105.04906, algorithm 1).

        invariance  *   mean of (a - b)^2
        variance    * ( mean over i of max(0, 1 - sqrt(Var a_i + 1e-4))  +  the same of b )
        covariance  * ( sum over i != j of Cov(a_i, a_j)^2 / features    +  the same of b )

    With kind None, a and b are the flattened embeddings, each of their entries is a feature, and variance and
    covariance are over the batch, as published. With a kind, each pair is first aligned
    (`eqssl.losses.paired.comparable`), each field is a feature, and they are over batch x |G|: turning an
    image permutes its |G| rows of both views alike. The distance is the mean over all numbers in both cases,
    so its weight does not depend on the group.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views, in the same order.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: tau of softmax; the other kinds have no use for it.
        invariance: weight of the distance between the views' embeddings.
        variance: weight of the hinge on the standard deviation of each feature.
        covariance: weight of the squared covariances of features.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, the temperature is not positive, a weight
            is negative, the batch has one image, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> turned = act_on_regular(G, z1, G.elements[1])
        >>> bool(torch.isclose(vicreg(turned, z2, G), vicreg(z1, z2, G)))
        True
    """
    check_pair(z1, z2, G, least=2)
    check_positive(temperature=temperature)
    check_not_negative(invariance=invariance, variance=variance, covariance=covariance)
    a, b = (rows_of_fields(z) for z in comparable(z1, z2, G, kind, temperature, angles))
    distance = (a - b).square().mean()
    spread = variance_hinge(a) + variance_hinge(b)
    redundancy = squared_covariances(a) + squared_covariances(b)
    return invariance * distance + variance * spread + covariance * redundancy


def variance_hinge(rows: Float[Tensor, "rows features"]) -> Float[Tensor, ""]:
    """How far the standard deviations of features are below 1, on average."""
    return F.relu(1 - torch.sqrt(rows.var(0) + _EPSILON)).mean()


def squared_covariances(rows: Float[Tensor, "rows features"]) -> Float[Tensor, ""]:
    """Sum of the squared covariances of different features, divided by their number."""
    centred = rows - rows.mean(0)
    return off_diagonal_squares(centred.t() @ centred / (len(rows) - 1)) / rows.shape[1]


class VICRegLoss(LossModule):
    """Module form of `vicreg`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = VICRegLoss(group("C4"))
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> loss(z1, z2).shape
        torch.Size([])
    """

    loss = staticmethod(vicreg)
