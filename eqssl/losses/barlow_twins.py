"""Barlow Twins: make the cross-correlation of fields the identity, with turns absorbed or plain."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_pair, check_positive
from eqssl.losses.field_statistics import off_diagonal_squares, rows_of_fields
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.module import LossModule
from eqssl.losses.paired import comparable
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group

# Added to variances, so that a field that is zero everywhere stays zero: that of torch's batch norm.
_EPSILON = 1e-5


@in_full_precision
def barlow_twins(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    off_diagonal: float = 0.0051,
    scale: float = 1.0,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """Redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230, section 2.1).

        scale * ( sum over i of (1 - C_ii)^2  +  off_diagonal * sum over i != j of C_ij^2 )

    C is the correlation of field i of the first views with field j of the second ones. With a kind, each
    pair is first aligned (`eqssl.losses.paired.comparable`), and the correlation is over batch x |G|: turning
    an image permutes its |G| rows of both views alike. With kind None, each entry of the flattened embedding
    is a feature, and the correlation is over the batch, as published.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views, in the same order.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: tau of softmax; the other kinds have no use for it.
        off_diagonal: weight of the entries off the diagonal.
        scale: factor on the loss.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, a setting is not positive, the batch has
            one image, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> turned = act_on_regular(G, z1, G.elements[1])
        >>> bool(torch.isclose(barlow_twins(turned, z2, G), barlow_twins(z1, z2, G)))
        True
    """
    check_pair(z1, z2, G, least=2)
    check_positive(temperature=temperature, off_diagonal=off_diagonal, scale=scale)
    a, b = (standardised(rows_of_fields(z)) for z in comparable(z1, z2, G, kind, temperature, angles))
    correlation = a.t() @ b / len(a)
    on_diagonal = (1 - correlation.diagonal()).square().sum()
    return scale * (on_diagonal + off_diagonal * off_diagonal_squares(correlation))


def standardised(rows: Float[Tensor, "rows features"]) -> Float[Tensor, "rows features"]:
    """Each feature with mean 0 and variance 1 over the rows: a batch norm without weights."""
    centred = rows - rows.mean(0)
    return centred * (centred.square().mean(0) + _EPSILON).rsqrt()


class BarlowTwinsLoss(LossModule):
    """Module form of `barlow_twins`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = BarlowTwinsLoss(group("C4"))
        >>> z1, z2 = torch.randn(2, 8, 16, 4)
        >>> loss(z1, z2).shape
        torch.Size([])
    """

    loss = staticmethod(barlow_twins)
