"""Checkpoints: one safetensors file for each. Its header holds everything that is not a tensor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from eqssl.encoders.release.tensors import first_line, write_tensors
from eqssl.machine.hashes import identity

LONGEST_VALUES = 2**23
"""Most characters of the values: enough for 80,000 epochs with five numbers each."""


def save(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        tensors: tensors by name, on any device.
        values: anything that JSON can hold.

    Raises:
        OSError: it cannot be written, as on a full disk; names the file. An earlier checkpoint stays.
    """
    # Copies, since safetensors refuses tensors that share memory.
    host = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    text = json.dumps(values, allow_nan=False)
    write_tensors(path, host, {"values": text, "sha256": _digest(host, text)})


def load(path: Path, largest: int | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: its tensors, on the CPU, and its values.

    Args:
        path: the file.
        largest: largest size in bytes; a larger file is not read.

    Raises:
        ValueError: if the file is damaged; the message names it.
        OSError: if it cannot be read.
    """
    size = identity(path).size
    if largest is not None and size > largest:
        raise ValueError(f"{path}: damaged checkpoint: {size} bytes, allowed: up to {largest}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = metadata.get("values", "")
        right = metadata.get("sha256") == _digest(tensors, text)
    except (SafetensorError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        # the last four are for types of numbers that this torch does not know
        raise ValueError(f"{path}: damaged checkpoint: {first_line(error)}") from None
    if not right:
        raise ValueError(f"{path}: damaged checkpoint: its checksum is wrong")
    return tensors, _values(path, text)


def _values(path: Path, text: str) -> dict[str, Any]:
    """The values of a checkpoint; the text may be anything."""
    if len(text) > LONGEST_VALUES:
        raise ValueError(
            f"{path}: damaged checkpoint: its values are longer than {LONGEST_VALUES} characters"
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: damaged checkpoint: its values are not JSON: {first_line(error)}"
        ) from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: damaged checkpoint: its values are no table")
    return values


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a module, under the prefix `model/`."""
    return {f"model/{name}": tensor for name, tensor in module.state_dict().items()}


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `module_state` took, into the module's own tensors."""
    found = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
    module.load_state_dict(found)


def optimiser_state(optimiser: Optimizer) -> dict[str, Tensor]:
    """State of an optimiser, by names `optimiser/<number>/<key>`; all of it must be tensors.

    Parameters are numbered in the order of the groups.
    """
    return {
        f"optimiser/{number}/{key}": tensor
        for number, parameter in enumerate(parameters(optimiser))
        for key, tensor in optimiser.state[parameter].items()
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_state` took."""
    own = parameters(optimiser)
    for name, tensor in tensors.items():
        if name.startswith("optimiser/"):
            _, number, key = name.split("/")
            parameter = own[int(number)]
            if tensor.shape == parameter.shape:
                # The strides of the parameter, which may be channels_last, and its device.
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            optimiser.state[parameter][key] = tensor


def parameters(optimiser: Optimizer) -> list[Tensor]:
    """The parameters of an optimiser in the order of its groups."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of everything. It takes 0.09 s for 100 MB, and writing them takes 0.15 s."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
