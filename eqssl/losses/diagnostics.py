"""What embeddings look like: how near pairs are, how far apart all others, in how many directions they lie.

All numbers are without gradient and in float32 at least, and computing them does not wait for the device. s
is the similarity of a loss (`eqssl.losses.similarity`), with turns absorbed or, for kind None, not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.correlation import correlation
from eqssl.losses.kinds import ANGLES, Kind, absorbed, check_kind, check_shapes, unit
from eqssl.losses.paired import best_element, check_pairs, paired_similarity
from eqssl.losses.precision import in_full_precision
from eqssl.symmetry.groups import Group
from eqssl.symmetry.turns import Turns, is_relative_element

ROWS = 128
"""How many embeddings are compared with all others at a time, which bounds the memory."""


class Spread(NamedTuple):
    """How embeddings of different images lie to each other.

    Attributes:
        uniformity: `log mean over i != j of exp(-2 (2 - 2 s(z_i, z_j)))`, from -8 to 0: low if embeddings are
            far apart (Wang & Isola 2020, arXiv 2005.10242, with t = 2).
        similarity: `mean over i != j of s(z_i, z_j)`: 1 if all embeddings are the same up to a turn.
        rank: `1 / mean over i != j, and over g in G, of <z_i, rho(g) z_j>^2` with z of length 1, at most the
            number of entries of an embedding.
    """

    uniformity: Float[Tensor, ""]
    similarity: Float[Tensor, ""]
    rank: Float[Tensor, ""]


@torch.no_grad()
@in_full_precision
def alignment(
    z1: Float[Tensor, "n fields order"],
    z2: Float[Tensor, "n fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """`mean of 2 - 2 s(z1_i, z2_i)`: 0 if the two views of each image have the same embedding up to a turn.

    The squared distance of embeddings of length 1 (Wang & Isola 2020, arXiv 2005.10242, with alpha = 2).

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views of the same images.
        G: the group.
        kind: how turns are absorbed; None for not at all.
        temperature: of softmax.
        angles: of SO2 and O2, at how many angles embeddings are compared.

    Raises:
        ValueError: if there is no such kind, or the shapes do not fit each other or the group.

    Example:
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z = torch.randn(2, 3, 4)
        >>> turned = act_on_regular(G, z, G.elements[1])
        >>> bool(alignment(z, turned, G) < 1e-5), bool(alignment(z, turned, G, None) > 0.1)
        (True, True)
    """
    return (2 - 2 * paired_similarity(z1, z2, G, kind, temperature, angles)).mean()


@torch.no_grad()
@in_full_precision
def spread(
    z: Float[Tensor, "n fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Spread:
    """Uniformity, similarity and rank of embeddings of different images, from one comparison of all.

    The rank is the participation ratio `(tr M)^2 / tr M^2` of the second moment M of the embeddings, averaged
    over the group for kinds that absorb turns: M = mean of `rho(g) z z^T rho(g)^T`. It is d if the embeddings
    fill d directions equally, and it needs no eigenvalues. Leaving out i = j makes the mean an unbiased
    estimate of tr M^2 from few embeddings. `pool` compares the means over the group; then the rank is theirs.

    Args:
        z: embeddings of at least two images.
        G: the group.
        kind: how turns are absorbed; None for not at all.
        temperature: of softmax.
        angles: of SO2 and O2, at how many angles embeddings are compared.

    Raises:
        ValueError: if there is no such kind, the shape does not fit the group, or there is one image only.
    """
    check_kind(kind)
    check_shapes(z, z, G)
    n = len(z)
    if n < 2:
        raise ValueError(f"z: given {n} embeddings, allowed: at least 2")
    pairs = n * (n - 1)
    logs, similarities, squares = [], [], []
    for s, square, itself in _compared(z, G, kind, temperature, angles):
        logs.append((4 * s - 4).masked_fill(itself, float("-inf")).flatten().logsumexp(0))
        similarities.append(s.masked_fill(itself, 0.0).sum())
        squares.append(square.masked_fill(itself, 0.0).sum())
    # embeddings of length 0, which point nowhere, have rank 0
    lengths = _features(z, kind).square().sum(1).mean()
    rank = lengths.square() / (torch.stack(squares).sum() / pairs).clamp(min=1e-12)
    most = z.shape[1] if kind == "pool" else z.shape[1] * z.shape[2]
    return Spread(
        torch.stack(logs).logsumexp(0) - math.log(pairs),
        torch.stack(similarities).sum() / pairs,
        rank.clamp(max=most),
    )


@torch.no_grad()
@in_full_precision
def turn_found(
    z1: Float[Tensor, "n fields order"],
    z2: Float[Tensor, "n fields order"],
    G: Group,
    first: Turns,
    second: Turns,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """Share of pairs whose best element is the turn that the two views differ by.

    For finite groups it must be the element of the group that is nearest to that turn; for SO2 and O2 one
    within half of the 45 degrees between two listed elements. Pairs that differ by a reflection which the
    group does not have are left out. Guessing gives 1 / |G|.

    Args:
        z1: embeddings of the first views.
        z2: embeddings of the second views of the same images.
        G: the group.
        first: how the images were turned for the first views.
        second: the same for the second views.
        angles: of SO2 and O2, at how many angles embeddings are compared.

    Raises:
        ValueError: if the shapes do not fit each other or the group.
    """
    check_pairs(z1, z2, G)
    best = best_element(z1, z2, G, angles)
    right, exists = is_relative_element(G, best, first, second, angles)
    return (right & exists).sum() / exists.sum().clamp(min=1)


def _compared(
    z: Float[Tensor, "n fields order"], G: Group, kind: Kind | None, temperature: float, angles: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For some embeddings at a time: s with all, the squared products, and where they meet themselves."""
    turned = kind not in (None, "pool") and G.order > 1
    features, length = _features(z, kind), unit(z)
    for start in range(0, len(z), ROWS):
        rows = slice(start, start + ROWS)
        if turned:
            products = correlation(length[rows], length, G, angles)
            squares = products.square().mean(0)
            s = absorbed(products, kind, temperature, 0)
        else:
            s = features[rows] @ features.t()
            squares = s.square()
        yield s, squares, torch.ones_like(s, dtype=torch.bool).triu(start).tril(start)


def _features(z: Float[Tensor, "n fields order"], kind: Kind | None) -> Float[Tensor, "n features"]:
    """What is compared where the group takes no part, of length 1."""
    return F.normalize(z.mean(-1), dim=1) if kind == "pool" else unit(z).flatten(1)
