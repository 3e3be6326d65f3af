"""Check that a checkpoint can be the state of this training, before anything of the training is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from eqssl.encoders.release.tensors import check_form, is_finite
from eqssl.training import checkpoints

_Number = Annotated[float, Field(allow_inf_nan=False)]


class StateValues(BaseModel):
    """Everything in a checkpoint that is not a tensor.

    Attributes:
        fingerprint: fingerprint of everything that decides the weights.
        step: steps done.
        seconds: time spent.
        names: names of the numbers that are summed, "loss" first.
        rows: for each finished epoch, one number for each name.
        tensors: names of the tensors in the checkpoint, in alphabetical order.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    fingerprint: str
    step: int = Field(ge=0)
    seconds: float = Field(ge=0, le=1e10, allow_inf_nan=False)
    names: list[str] = Field(min_length=1, max_length=1000)
    rows: list[list[_Number]]
    tensors: list[str]


def checked_values(
    values: Mapping[str, Any], fingerprint: str, steps: int, steps_per_epoch: int
) -> StateValues:
    """The values of a checkpoint, after checking that they are possible.

    Args:
        values: the values as they were read.
        fingerprint: fingerprint of this training.
        steps: steps of the whole training.
        steps_per_epoch: steps of one epoch.

    Raises:
        ValueError: they belong to another training, or are impossible; names the value and the reason.
    """
    try:
        state = StateValues.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if state.fingerprint != fingerprint:
        raise ValueError(
            f"it is of another training: its fingerprint is {state.fingerprint[:64]!r}, "
            f"this one's is {fingerprint!r}"
        )
    if state.step > steps:
        raise ValueError(f"step: given {state.step}, allowed: 0 to {steps}")
    if state.names[0] != "loss" or len(set(state.names)) != len(state.names):
        raise ValueError("names: are not those of different numbers, the loss first")
    epochs = state.step // steps_per_epoch
    if len(state.rows) != epochs or any(len(row) != len(state.names) for row in state.rows):
        raise ValueError(f"rows: are not those of {epochs} epochs with {len(state.names)} numbers each")
    return state


def check_tensors(
    tensors: Mapping[str, Tensor],
    state: StateValues,
    module: nn.Module,
    optimiser: Optimizer,
    kept: tuple[str, ...],
    others: Mapping[str, Tensor],
) -> None:
    """Check that the tensors of a checkpoint are those that this training would have saved.

    Args:
        tensors: the tensors as they were read.
        state: the values beside them.
        module: the pretext.
        optimiser: the optimiser of its parameters.
        kept: names of what the optimiser keeps for a parameter.
        others: further tensors that must be there. Their shapes and types count, not their numbers.

    Raises:
        ValueError: a tensor is missing, does not belong there, has another shape or type, or holds impossible
            numbers; names it.
    """
    wanted = {**checkpoints.module_state(module), **others}
    numbers = {name.split("/")[1] for name in state.tensors if name.startswith("optimiser/")}
    for number, parameter in enumerate(checkpoints.parameters(optimiser)):
        if str(number) in numbers and state.step:  # a parameter without a gradient has no state
            wanted |= {f"optimiser/{number}/{key}": _kept(key, parameter) for key in kept}
    if state.tensors != sorted(wanted):
        name = min(set(state.tensors) ^ set(wanted), default="tensors")
        raise ValueError(f"{name}: its tensors are not those of this training")
    for name in sorted(wanted.keys() ^ tensors.keys()):
        raise ValueError(f"{name}: is {'missing' if name in wanted else 'one too many'}")
    for name, own in wanted.items():
        check_form(name, tensors[name], tuple(own.shape), own.dtype)
        if not is_finite(tensors[name]):
            raise ValueError(f"{name}: holds a number that is not finite")
        if name.startswith("optimiser/") and name.endswith("/step"):
            _check_count(name, tensors[name], state.step)
    _check_tables(tensors, module)


def check_random(name: str, state: Tensor, device: torch.device | str) -> None:
    """Check that a generator accepts a state. A separate generator is used for the check.

    Raises:
        ValueError: it does not accept it; begins with `name`.
    """
    try:
        torch.Generator(device).set_state(state)
    except (RuntimeError, TypeError):
        raise ValueError(f"{name}: is no state of a generator of random numbers") from None


def _kept(key: str, parameter: Tensor) -> Tensor:
    return torch.empty((), dtype=torch.float32) if key == "step" else parameter


def _check_count(name: str, count: Tensor, steps: int) -> None:
    if not 1 <= float(count) <= steps or not float(count).is_integer():
        raise ValueError(f"{name}: given {float(count):g}, allowed: 1 to {steps}")


def _check_tables(tensors: Mapping[str, Tensor], module: nn.Module) -> None:
    """Check tables of integers, such as the index of a filter basis, which no training changes."""
    trained = {name for part in (module.named_parameters(), module.named_buffers()) for name, _ in part}
    for name, own in module.state_dict().items():
        if name in trained or own.is_floating_point():
            continue
        if not torch.equal(tensors[f"model/{name}"], own.cpu()):
            raise ValueError(f"model/{name}: is another table than that of this training")
