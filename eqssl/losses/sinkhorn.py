"""Sinkhorn's algorithm: assign embeddings to prototypes so that all prototypes are used equally."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_positive
from eqssl.losses.precision import in_full_precision


@in_full_precision
@torch.no_grad()
def sinkhorn(
    scores: Float[Tensor, "batch prototypes"], epsilon: float = 0.05, iterations: int = 3
) -> Float[Tensor, "batch prototypes"]:
    """Soft assignment with equal use of the prototypes (Cuturi 2013, arXiv 1306.0895).

        Q = diag(u) exp(scores / epsilon) diag(v),  with u and v such that  sum over k of Q_ik = 1
                                                    and  sum over i of Q_ik = batch / prototypes

    Each iteration scales the prototypes' sums and then the embeddings' sums. The latter therefore hold
    exactly, the former in the limit. It works on logarithms, because exp(1 / epsilon) is too large for
    float32 if epsilon is below 0.012. There is no gradient.

    Args:
        scores: of embeddings with prototypes.
        epsilon: how soft the assignment is; towards 0 each embedding goes to one prototype.
        iterations: how many times both sums are scaled.

    Returns:
        For each embedding a probability of each prototype.

    Raises:
        ValueError: if the scores are no matrix, or a setting is not positive.

    Example:
        >>> import torch
        >>> scores = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) / 10
        >>> codes = sinkhorn(scores, iterations=100)
        >>> codes.sum(0).round(decimals=2)
        tensor([2., 2., 2., 2.])
    """
    if scores.ndim != 2 or not scores.numel():
        raise ValueError(f"scores: given shape {tuple(scores.shape)}, allowed: (batch, prototypes)")
    check_positive(epsilon=epsilon, iterations=iterations)
    logs = scores / epsilon
    for _ in range(iterations):
        logs = logs - logs.logsumexp(0, keepdim=True)
        logs = logs - logs.logsumexp(1, keepdim=True)
    return logs.exp()
