"""Swap the layers of a released network for accelerated subclasses."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from eqssl.fast_cpu import packed
from eqssl.fast_cpu.layers import FastConv2d
from eqssl.nn.onednn import is_on
from eqssl.nn.plain import PlainConv2d

FEWEST_NUMBERS = 2**15
"""Numbers in the smallest filter that is swapped; for smaller ones it saves no time."""

Network = TypeVar("Network", bound=nn.Module)


def accelerate(network: Network) -> Network:
    """Swap the convolutions of a released network for accelerated ones; it computes the same within rounding.

    The parameters and their names stay. An accelerated layer computes like the plain one with gradients,
    under autocast, on another device, in another precision, and while it is traced or compiled.

    Args:
        network: a released network; it is changed in place. It stays as it is if `EQSSL_FAST_CPU` is 0, on
            processors other than x86, and if torch lacks the operations.

    Returns:
        The same network.
    """
    if not is_on() or packed.problem() is not None:
        return network
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is PlainConv2d and child.weight.numel() >= FEWEST_NUMBERS:
                setattr(module, name, FastConv2d(child))
    return network
