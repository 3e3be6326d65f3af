"""The last embeddings of earlier batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class EmbeddingQueue(nn.Module):
    """First in, first out: a new embedding takes the place of the oldest one.

    It starts with random embeddings, as that of MoCo does (He et al. 2020, arXiv 1911.05722). What it holds
    and where the next embedding goes are buffers, so that a resumed training finds them.

    Args:
        size: how many embeddings it keeps.
        shape: of an embedding.
        generator: draws the first embeddings.

    Attributes:
        kept: the embeddings, in no particular order.
        place: where the next embedding goes.
    """

    kept: Tensor
    place: Tensor

    def __init__(self, size: int, shape: Sequence[int], generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.register_buffer("kept", torch.randn(size, *shape, generator=generator))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, embeddings: Float[Tensor, "batch ..."]) -> None:
        """Put embeddings in, in their order; of more than the queue holds, only the last ones stay.

        Do not call it between a loss that uses the queue and its backward pass, which needs what was there.
        """
        size = len(self.kept)
        last = embeddings[-size:].to(self.kept.dtype)
        rows = (self.place + torch.arange(len(last), device=last.device)) % size
        self.kept.index_copy_(0, rows, last)
        self.place.add_(len(last)).remainder_(size)
