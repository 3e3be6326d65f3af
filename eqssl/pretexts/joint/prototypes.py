"""Prototypes that are fields over the group, as embeddings are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.losses.kinds import unit
from eqssl.pretexts.parameters import ParameterGroup, decayed_and_not


class Prototypes(nn.Module):
    """Trained embeddings of length 1 to which embeddings of images are compared.

    Scores are similarities, in which the length of a prototype has no part. It is set to 1 after each step,
    as SwAV does (Caron et al. 2020, arXiv 2006.09882), or the length would decide how far a step turns it.

    Args:
        count: how many.
        shape: of an embedding: its fields, and the group's order.
        frozen: share of the training in which they stay as they are.
        generator: draws the first ones.

    Attributes:
        weight: the prototypes, shape (count, fields, |G|).
    """

    def __init__(
        self, count: int, shape: tuple[int, int], frozen: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(unit(torch.randn(count, *shape, generator=generator)))
        self.frozen = frozen

    def forward(self, progress: float) -> Float[Tensor, "count fields order"]:
        """The prototypes, which get a gradient of zero while they are frozen.

        Args:
            progress: share of the training that is done before this step.
        """
        if progress >= self.frozen:
            return self.weight
        # they stay in the graph, because distributed training waits for the gradient of every parameter
        return self.weight.detach() + 0 * self.weight

    @torch.no_grad()
    def normalise(self, progress: float) -> None:
        """Set their lengths to 1 after a step that changed them.

        Args:
            progress: share of the training that is done after this step.
        """
        if progress > self.frozen:
            self.weight.copy_(F.normalize(self.weight.flatten(1), dim=1).view_as(self.weight))


def groups_with_prototypes(
    named: Iterable[tuple[str, nn.Parameter]], prototypes: Prototypes
) -> list[ParameterGroup]:
    """Groups of parameters, with the prototypes in one of their own, without weight decay."""
    others = [(name, parameter) for name, parameter in named if parameter is not prototypes.weight]
    own: ParameterGroup = {"params": [prototypes.weight], "weight_decay": 0.0, "adapted": True}
    return [*decayed_and_not(others), own]
