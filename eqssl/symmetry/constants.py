"""Tensors that are made once, such as the tables of a group on a device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar, cast

import torch

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def constant(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Keep what a function makes for each of its arguments. It is made on the CPU and outside inference mode.

    A copy to the device in every step would wait for it. A tensor that was made in inference mode could not
    be used later where gradients are computed. The tables of a group that it is made of lie on the CPU,
    whatever the default device of torch is.
    """

    @wraps(make)
    def outside(*args: Arguments.args, **settings: Arguments.kwargs) -> Made:
        with torch.inference_mode(False), torch.device("cpu"):
            return make(*args, **settings)

    return cast(Callable[Arguments, Made], cache(outside))
