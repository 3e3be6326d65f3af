"""Tensors in safetensors files: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eqssl.machine.files import atomic


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file atomically.

    Args:
        path: the file.
        tensors: tensors by name, on the CPU; none may share memory with another.
        metadata: texts for the header of the file.

    Raises:
        OSError: it cannot be written; names the file and the reason, such as a full disk.
    """
    with atomic(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata=dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise _system_error(error, path) from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the weights of a network.

    Raises:
        ValueError: the file is not a safetensors file, holds a type other than float32 and int32, or holds a
            number that is not finite; names the file and the tensor.
        OSError: it cannot be read.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not safetensors: {first_line(error)}") from None
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.int32):
            given = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"{path}: {name}: holds {given}, allowed: float32, int32")
        if not is_finite(tensor):
            raise ValueError(f"{path}: {name}: holds a number that is not finite")
    return tensors


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load a module's state, after checking that every tensor is there and has the right shape and type.

    Args:
        module: a module that computes in float32.
        tensors: its state by name.
        path: where the tensors come from, for messages.

    Raises:
        ValueError: a tensor is missing, does not belong there, or has another shape or type.
    """
    own = module.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        state = "is missing" if name in own else "does not belong to this network"
        raise ValueError(f"{path}: {name}: {state}")
    for name, tensor in own.items():
        wanted = torch.float32 if tensor.is_floating_point() else tensor.dtype
        check_form(f"{path}: {name}", tensors[name], tuple(tensor.shape), wanted)
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ValueError(f"{path}: does not fit the network: {first_line(error)}") from None


def check_table(name: str, index: Tensor, basis: Tensor | None) -> None:
    """Check the table that fills a convolution's filters; see `eqssl.symmetry.filter_bases.FilterBasis`.

    Args:
        name: names of the file and the table, for messages.
        index: the table.
        basis: the filters that it points into.

    Raises:
        ValueError: it is not a table of entries of the filters, or one of its rows is not a permutation of a
            row of theirs.
    """
    if basis is None or basis.dim() != 2 or index.dim() != 2 or not index.numel() or not basis.numel():
        raise ValueError(f"{name}: is no table of the entries of a basis beside it")
    check_form(name, index, tuple(index.shape), torch.int32)
    entries, canonical = index.shape[1], basis.shape[1]
    if not 0 <= int(index.min()) <= int(index.max()) < canonical:
        raise ValueError(f"{name}: holds a place outside of 0 to {canonical - 1}")
    ordered = index.long().sort(1).values
    first = ordered[:, :1]
    counts = torch.bincount(first.flatten() // entries, minlength=canonical // entries)
    whole = bool((ordered == first + torch.arange(entries)).all()) and not bool((first % entries).any())
    if canonical % entries or not whole or len(counts.unique()) != 1:
        raise ValueError(f"{name}: its rows are not permutations of the rows of the basis")


def check_form(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Check the shape and the type of a tensor.

    Raises:
        ValueError: one of them differs; begins with `name`.
    """
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: has shape {tuple(tensor.shape)}, allowed: {shape}")
    if tensor.dtype != dtype:
        given, allowed = (str(kind).removeprefix("torch.") for kind in (tensor.dtype, dtype))
        raise ValueError(f"{name}: holds {given}, allowed: {allowed}")


def is_finite(tensor: Tensor) -> bool:
    """Whether every number is finite, as all integers are."""
    return not tensor.dtype.is_floating_point or bool(tensor.isfinite().all())


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _system_error(error: Exception, path: Path) -> OSError:
    """The system's error, which safetensors reports only as a text, `... (os error 28)`."""
    if found := re.search(r"\(os error (\d+)\)", str(error)):
        number = int(found[1])
        return OSError(number, os.strerror(number), str(path))
    return OSError(f"{path}: cannot be written: {first_line(error)}")
