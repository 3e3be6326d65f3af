"""Similarity and alignment of pairs of equivariant embeddings: a_1 with b_1, a_2 with b_2, and so on."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.losses.kinds import ANGLES, Kind, absorbed, check_kind, check_shapes, pooled, unit
from eqssl.symmetry.constants import constant
from eqssl.symmetry.groups import Group, group
from eqssl.symmetry.interpolation import interpolation, turning_matrices


def paired_correlation(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "n fields order"],
    G: Group,
    angles: int = ANGLES,
) -> Float[Tensor, "n elements"]:
    """`<a_i, rho(g) b_i>` for each pair and every element g at which embeddings are compared.

    These are `G.elements`, or for SO2 and O2 those at `angles` equally spaced angles
    (`eqssl.symmetry.interpolation.compared_elements`).

    Raises:
        ValueError: if the shapes do not fit each other or the group.
    """
    check_pairs(a, b, G)
    # <a, rho(g) b> = sum over h of the entry (g h, h) of the |G| x |G| products of a's and b's fields
    products = torch.bmm(a.transpose(1, 2), b).flatten(1)
    listed = products[:, _entries(G.name, a.device)].sum(-1)
    return (
        listed @ _interpolation(G.name, angles, a.device).to(listed.dtype).t() if G.is_continuous else listed
    )


def paired_similarity(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "n fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, " n"]:
    """The diagonal of `eqssl.losses.similarity.similarity`: the similarity of each pair.

    Raises:
        ValueError: if there is no such kind, or the shapes do not fit each other or the group.
    """
    check_kind(kind)
    check_pairs(a, b, G)
    if kind == "pool":
        a, b = pooled(a), pooled(b)
    if kind in (None, "pool") or G.order == 1:
        return (unit(a) * unit(b)).flatten(1).sum(1)
    return absorbed(paired_correlation(unit(a), unit(b), G, angles), kind, temperature, 1)


def best_element(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "n fields order"],
    G: Group,
    angles: int = ANGLES,
) -> Int[Tensor, " n"]:
    """For each pair the position of the element g with the largest `<a_i, rho(g) b_i>`; without gradient."""
    with torch.no_grad():
        return paired_correlation(a, b, G, angles).argmax(1)


def comparable(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "n fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> tuple[Float[Tensor, "n features points"], Float[Tensor, "n features points"]]:
    """Each pair in a form that can be compared entry by entry; neither is normalised.

        max, align:  a_i and rho(g_i) b_i with the best element g_i, which is found without gradient
        softmax:     a_i and sum over g of w_i(g) rho(g) b_i, w_i = softmax over g of <a_i, rho(g) b_i> / tau,
                     with a_i and b_i of length 1 in the weights
        pool:        the means over the group, as one point
        None:        the flattened embeddings, as one point

    Turning a_i turns both by the same element, and turning b_i changes nothing. A statistic that does not
    change when the points of a pair are permuted together therefore absorbs both turns.

    Raises:
        ValueError: if there is no such kind, or the shapes do not fit each other or the group.
    """
    check_kind(kind)
    check_pairs(a, b, G)
    if kind is None or G.order == 1:
        return a.flatten(1)[..., None], b.flatten(1)[..., None]
    if kind == "pool":
        return pooled(a), pooled(b)
    matrices = _turning(G.name, angles, b.device)
    if kind == "softmax":
        weights = torch.softmax(paired_correlation(unit(a), unit(b), G, angles) / temperature, 1)
        turns = (weights @ matrices.to(weights.dtype).flatten(1)).view(-1, G.order, G.order)
    else:
        turns = matrices.to(b.dtype)[best_element(a, b, G, angles)]
    return a, torch.bmm(b, turns.transpose(1, 2))


def check_pairs(a: Tensor, b: Tensor, G: Group) -> None:
    """Check that a and b are embeddings of the same shape.

    Raises:
        ValueError: names the shapes.
    """
    check_shapes(a, b, G)
    if len(a) != len(b):
        raise ValueError(f"pairs: given {len(a)} and {len(b)} embeddings, allowed: equally many")


@constant
def _entries(name: str, device: torch.device) -> Int[Tensor, "order order"]:
    """Where <a, rho(g) b> finds its summands: the flattened entry (g h, h) for each g and h."""
    G = group(name)
    return (G.product * G.order + torch.arange(G.order)).to(device)


@constant
def _interpolation(name: str, angles: int, device: torch.device) -> Float[Tensor, "elements order"]:
    return interpolation(name, angles).to(device)


@constant
def _turning(name: str, angles: int, device: torch.device) -> Float[Tensor, "elements order order"]:
    return turning_matrices(name, angles).to(device)
