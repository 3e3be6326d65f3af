"""Optimisers by name, for the groups of parameters that a pretext gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from eqssl.pretexts.base import Pretext

MOMENTUM = 0.9
"""Momentum of `sgd` and `lars`."""
STATE: dict[str, tuple[str, ...]] = {
    "adamw": ("exp_avg", "exp_avg_sq", "step"),
    "lars": ("velocity",),
    "sgd": ("momentum_buffer",),
}
"""What each optimiser keeps for a parameter that has had a gradient.

`step` is one number, the others have the shape of the parameter.
"""


def build_optimiser(name: str, pretext: Pretext, learning_rate: float, weight_decay: float) -> Optimizer:
    """The optimiser of a pretext's parameters, in the groups that it gives.

    Args:
        name: `adamw` (torch's, with its default betas), `sgd` (torch's, with momentum 0.9, without Nesterov
            momentum, and with weight decay added to the gradient) or `lars`.
        pretext: whose parameters are optimised.
        learning_rate: the first one; `set_learning_rate` changes it.
        weight_decay: weight decay of groups that do not set their own.

    Raises:
        ValueError: if there is no such optimiser, or nothing to optimise.
    """
    groups = [{"fixed_rate": False, **group} for group in pretext.parameter_groups()]
    if not groups:
        raise ValueError(f"{type(pretext).__name__}: no trainable parameters")
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=MOMENTUM, weight_decay=weight_decay)
    if name == "lars":
        return LARS(groups, learning_rate, MOMENTUM, weight_decay)
    raise ValueError(f"pretrain.optimiser: given {name!r}, allowed: adamw, lars, sgd")


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step, except in groups with a fixed rate."""
    for group in optimiser.param_groups:
        if not group["fixed_rate"]:
            group["lr"] = rate


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman & Ginsburg 2017, algorithm 1), for large batches.

    With w a parameter, g its gradient, b the weight decay, t the trust coefficient, m the momentum:

        u = g + b w;  if adapted and |w| > 0 and |u| > 0:  u = u t |w| / |u|;  v = m v + u;  w = w - rate v

    As in the PyTorch code of Barlow Twins and VICReg, the ratio uses the norm of the gradient with weight
    decay, and the learning rate is applied after the momentum. Groups with `adapted=False` take steps of SGD
    with momentum.

    Args:
        parameters: as for any optimiser of torch; groups may set `weight_decay` and `adapted`.
        lr: learning rate.
        momentum: m.
        weight_decay: b.
        trust: t.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "adapted": True,
        }
        super().__init__(parameters, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step, without waiting for the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step_group(group, parameters)
        return loss

    def _step_group(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        updates = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if group["weight_decay"] != 0:
            updates = list(torch._foreach_add(updates, parameters, alpha=group["weight_decay"]))
        if group["adapted"]:
            sizes = torch.stack(torch._foreach_norm(parameters))
            steps = torch.stack(torch._foreach_norm(updates))
            usable = (sizes > 0) & (steps > 0)
            ratios = torch.where(usable, group["trust"] * sizes / steps, 1.0)
            updates = list(torch._foreach_mul(updates, list(ratios.unbind())))
        velocities = [self._velocity(parameter) for parameter in parameters]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, updates)
        torch._foreach_add_(parameters, velocities, alpha=-group["lr"])

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        velocity: Tensor = state["velocity"]
        return velocity
