"""What losses that write out their own gradient say when a gradient of it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


def first_derivative(backward: Callable[Arguments, Found]) -> Callable[Arguments, Found]:
    """For the backward pass of a `torch.autograd.Function` through which no second derivative flows.

    torch's `once_differentiable` lets such a gradient pass as a constant wherever the loss is a plain mean,
    and a second derivative would be wrong without a word. This refuses.
    """

    @wraps(backward)
    def checked(*args: Arguments.args, **settings: Arguments.kwargs) -> Found:
        if torch.is_grad_enabled():  # in a backward pass: create_graph
            raise RuntimeError(
                "create_graph: given True, allowed: False; losses that compare all pairs of embeddings have "
                "no second derivative"
            )
        return backward(*args, **settings)

    return checked
