"""What SwAV and DINO share: scores of embeddings with prototypes that are fields too."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_fields, check_positive
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.precision import in_full_precision
from eqssl.losses.similarity import similarity
from eqssl.symmetry.groups import Group


@in_full_precision
def prototype_scores(
    z: Float[Tensor, "batch fields order"],
    c: Float[Tensor, "prototypes fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, "batch prototypes"]:
    """`s(z_i, c_k)`: turning an embedding or a prototype changes no score, unless kind is None.

    Raises:
        ValueError: if shapes do not fit each other or the group, the temperature is not positive, or there
            is no such kind.
    """
    check_fields("z", z, z, G)
    check_fields("c", c, z, G)
    check_positive(temperature=temperature)
    return similarity(z, c, G, kind, temperature, angles)


def cross_entropy(
    scores: Float[Tensor, "batch prototypes"],
    temperature: float,
    targets: Float[Tensor, "batch prototypes"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `softmax(scores / temperature)` under given probabilities."""
    return -(targets * torch.log_softmax(scores / temperature, 1)).sum(1).mean()
