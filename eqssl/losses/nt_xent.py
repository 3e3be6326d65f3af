"""Normalised temperature-scaled cross-entropy (NT-Xent): plain, or absorbing a turn of each input."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.losses.log_sum_exp import log_sum_exp
from eqssl.losses.paired import paired_similarity
from eqssl.losses.similarity import ANGLES, Kind
from eqssl.symmetry.groups import Group

# How many rows of the similarity matrix are in memory at once: |G| * _BLOCK * 2n numbers.
_BLOCK = 1024


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
    the cosine, and the loss is that of SimCLR.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views, in the same order.
        G: the group.
        kind: max, softmax, pool, or None for the plain loss.
        temperature: t, and tau of softmax.

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
    if z1.shape != z2.shape:
        raise ValueError(
            f"z1, z2: given shapes {tuple(z1.shape)} and {tuple(z2.shape)}, allowed: equal shapes"
        )
    if len(z1) < 2:
        raise ValueError(
            f"z1: given {len(z1)} embeddings, allowed: at least two, or there is nothing to tell apart"
        )
    if not temperature > 0:
        raise ValueError(f"temperature: given {temperature}, allowed: a positive number")
    told = (G, kind, temperature, angles)
    others = log_sum_exp(torch.cat([z1, z2]), None, *told)
    # similarities are symmetric, so both views of an image have the same one
    right = paired_similarity(z1.to(others.dtype), z2.to(others.dtype), *told)
    return others.mean() - right.mean() / temperature


class NTXent(nn.Module):
    """Module form of `nt_xent`.

    Args:
        G: the group.
        kind: max, softmax, pool, or None for the plain loss.
        temperature: the temperature.
    """

    def __init__(self, G: Group, kind: Kind | None = "max", temperature: float = 0.2) -> None:
        super().__init__()
        self.group, self.kind, self.temperature = G, kind, temperature

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return f"{self.group.name}, kind={self.kind}, temperature={self.temperature}"

    def forward(
        self, z1: Float[Tensor, "batch fields order"], z2: Float[Tensor, "batch fields order"]
    ) -> Float[Tensor, ""]:
        """See `nt_xent`."""
        return nt_xent(z1, z2, self.group, self.kind, self.temperature)
