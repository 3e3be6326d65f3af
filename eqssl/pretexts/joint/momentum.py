"""A branch whose weights follow those of the trained one, and gets no gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.config.joint import MomentumSettings
from eqssl.pretexts.joint.branches import JointEmbedding


class MomentumBranch(nn.Module):
    """Copies of modules, whose parameters follow those of the originals.

        mine <- m mine + (1 - m) theirs,   m = last - (last - first) (1 + cos(pi progress)) / 2

    This is the rule of MoCo (He et al. 2020, arXiv 1911.05722), with the rising momentum of BYOL (Grill et
    al. 2020, arXiv 2006.07733, section 3.2). Batch norms keep running statistics of their own, of what the
    branch sees.

    Args:
        followed: the modules, in the order in which they are applied.
        first: momentum at the beginning.
        last: momentum at the end.
    """

    def __init__(self, followed: Sequence[nn.Module], first: float, last: float) -> None:
        super().__init__()
        self.copies = deepcopy(nn.ModuleList(followed)).requires_grad_(False)
        self.first, self.last = first, last

    def momentum(self, progress: float) -> float:
        """The momentum after a share of the training."""
        return self.last - (self.last - self.first) * (1 + math.cos(math.pi * progress)) / 2

    @torch.no_grad()
    def follow(self, followed: Sequence[nn.Module], progress: float) -> None:
        """Move towards the originals.

        Args:
            followed: the originals, in the order in which they were given.
            progress: share of the training that is done.
        """
        mine, theirs = _parameters([self]), _parameters(followed)
        torch._foreach_lerp_(mine, theirs, 1 - self.momentum(progress))


def _parameters(modules: Sequence[nn.Module]) -> list[Tensor]:
    return [parameter for module in modules for parameter in module.parameters()]


class MomentumEmbedding(JointEmbedding):
    """A joint embedding with a momentum branch of the encoder and the projector.

    Attributes:
        momentum: the branch; `begin_momentum` creates it, after the projector.
    """

    momentum: MomentumBranch

    def begin_momentum(self, settings: MomentumSettings, *more: nn.Module) -> None:
        """Create the branch, with copies of further modules."""
        self._more = more
        self.momentum = MomentumBranch(self._followed(), settings.momentum, settings.final_momentum)

    def _followed(self) -> list[nn.Module]:
        return [self.encoder, self.projector, *self._more]

    @torch.no_grad()
    def embed_slowly(
        self, views: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch embedding order"]:
        """The momentum branch's embeddings of views in [0, 1]."""
        encoder, projector = self.momentum.copies[:2]
        embedding: Tensor = projector(encoder(self.normalised(views)))
        return embedding

    def after_step(self, progress: float) -> None:
        """Let the branch follow."""
        self.momentum.follow(self._followed(), progress)
