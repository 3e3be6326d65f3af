"""Checkpoints: one safetensors file for each, whose header also carries everything that is no tensor."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from eqssl.machine.files import atomic


def save(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        tensors: by name, on any device.
        values: anything that JSON can hold.
    """
    # Copies, since safetensors refuses tensors that share memory.
    host = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    text = json.dumps(values, allow_nan=False)
    with atomic(path) as temporary:
        save_file(host, temporary, metadata={"values": text, "checksum": _checksum(host, text)})


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: its tensors, on the CPU, and its values.

    Raises:
        ValueError: if the file is damaged; the message names it.
        OSError: if it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged checkpoint: {error}") from None
    text = metadata.get("values", "")
    if metadata.get("checksum") != _checksum(tensors, text):
        raise ValueError(f"{path}: damaged checkpoint: its checksum is wrong")
    values: dict[str, Any] = json.loads(text)
    return tensors, values


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a module, under the prefix `model/`."""
    return {f"model/{name}": tensor for name, tensor in module.state_dict().items()}


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `module_state` took, into the tensors that are there."""
    found = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
    module.load_state_dict(found)


def optimiser_state(optimiser: Optimizer) -> dict[str, Tensor]:
    """State of an optimiser, by names `optimiser/<number>/<key>`; it has to be all tensors.

    Parameters are numbered in the order of the groups.
    """
    return {
        f"optimiser/{number}/{key}": tensor
        for number, parameter in enumerate(_parameters(optimiser))
        for key, tensor in optimiser.state[parameter].items()
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_state` took."""
    parameters = _parameters(optimiser)
    for name, tensor in tensors.items():
        if name.startswith("optimiser/"):
            _, number, key = name.split("/")
            parameter = parameters[int(number)]
            if tensor.shape == parameter.shape:
                # The strides of the parameter, which may be channels_last, and its device.
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            optimiser.state[parameter][key] = tensor


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
