"""Groups of parameters, which an optimiser may treat differently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

ParameterGroup = dict[str, Any]
"""`params`, a list of parameters, and options for all of them:

- `weight_decay`: a number in place of `pretrain.weight_decay`;
- `adapted`: whether LARS scales their steps (it does unless this is False);
- `fixed_rate`: whether their learning rate stays `pretrain.learning_rate`, whatever the schedule says.
"""


def decayed_and_not(named: Iterable[tuple[str, nn.Parameter]], **options: Any) -> list[ParameterGroup]:
    """Trainable parameters in two groups, each in the given order.

    The second group has no weight decay, and LARS does not scale its steps. It holds the parameters that are
    named `bias`, and all with at most one axis, such as the scales of normalisations. Empty groups are left
    out.

    Args:
        named: parameters by their names, as `Module.named_parameters` gives them.
        options: further options, for both groups.
    """
    weights: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in named:
        if parameter.requires_grad:
            plain = parameter.ndim <= 1 or name.rpartition(".")[2] == "bias"
            (others if plain else weights).append(parameter)
    groups: list[ParameterGroup] = [
        {"params": weights, "adapted": True, **options},
        {"params": others, "weight_decay": 0.0, "adapted": False, **options},
    ]
    return [group for group in groups if group["params"]]
