"""Streamed log-sum-exp of similarities: no matrix of all pairs is ever in memory."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from eqssl.losses.similarity import ANGLES, Kind
from eqssl.symmetry.groups import Group


def log_sum_exp(
    a: Float[Tensor, "n fields order"],
    b: Float[Tensor, "m fields order"] | None,
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, " n"]:
    """`log sum over k of exp(s(a_i, b_k) / t)` for each i, in float32 at least.

    With b None, the sum is over all a_k but a_i itself.
    """
    import torch

    from eqssl.losses.similarity import similarity

    logits = similarity(a, a if b is None else b, G, kind, temperature, angles).float() / temperature
    if b is None:
        logits = logits.masked_fill(torch.eye(len(a), dtype=torch.bool, device=a.device), float("-inf"))
    return logits.logsumexp(1)
