"""Losses are computed in float32 at least, whatever the precision of the network around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


def in_full_precision(loss: Callable[Arguments, Found]) -> Callable[Arguments, Found]:
    """A loss that takes tensors of any floating-point type and works in the widest of them, at least float32.

    Tensors of other types, such as positions, and tuples with names stay as they are.

    Autocast is off inside: sums of exponentials, variances and assignments lose their meaning in 8 bits.
    """

    @wraps(loss)
    def run(*args: Arguments.args, **settings: Arguments.kwargs) -> Found:
        tensors = [tensor for value in (*args, *settings.values()) for tensor in _tensors(value)]
        widest = reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)
        with torch.autocast(tensors[0].device.type, enabled=False):
            return loss(
                *(_widened(value, widest) for value in args),
                **{name: _widened(value, widest) for name, value in settings.items()},
            )

    return run


def _tensors(value: Any) -> list[Tensor]:
    values = value if type(value) in (list, tuple) else [value]
    return [tensor for tensor in values if isinstance(tensor, Tensor) and tensor.is_floating_point()]


def _widened(value: Any, dtype: torch.dtype) -> Any:
    if type(value) in (list, tuple):
        return [_widened(entry, dtype) for entry in value]
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
