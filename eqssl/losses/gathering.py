"""Embeddings of all processes, for losses that compare each embedding with all others of a batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.derivatives import first_derivative


def processes() -> int:
    """How many processes train together; 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def gathered(z: Float[Tensor, "batch ..."]) -> Float[Tensor, "processes*batch ..."]:
    """The embeddings of all processes, one process after the other; z itself if there is one process.

    The gradient of z is the sum of the gradients that all processes have for it. Where each process has the
    mean loss of its own batch and gradients are averaged over processes, as `DistributedDataParallel` does,
    the result is the gradient of the mean over the whole batch.

    Args:
        z: embeddings of this process; every process must give equally many.
    """
    if processes() == 1:
        return z
    whole: Tensor = _Gather.apply(z)
    return whole


class _Gather(torch.autograd.Function):
    """See `gathered`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        """Collect the embeddings of all processes."""
        ctx.batch = len(z)
        whole = z.new_empty(processes() * len(z), *z.shape[1:])
        dist.all_gather_into_tensor(whole, z.contiguous())
        return whole

    @staticmethod
    @first_derivative
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Sum what all processes have, and keep the own part."""
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        start = rank() * ctx.batch
        return total[start : start + ctx.batch]
