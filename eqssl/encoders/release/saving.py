"""Encoders on disk: safetensors for the weights, JSON for the rest. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eqssl.encoders import network
from eqssl.encoders.base import Encoder, Shape, flop_count, parameter_count
from eqssl.encoders.layers import Bases, EquivariantLayers
from eqssl.encoders.release.fold import empty_release
from eqssl.encoders.release.tensors import check_table, fill, read_tensors, write_tensors
from eqssl.fast_cpu import accelerate
from eqssl.machine.files import read_json, sha256, write_json
from eqssl.nn.plain import PlainConv2d
from eqssl.symmetry.filter_bases import FilterBasis, Kind

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"
TRAINED, FOLDED, UNFOLDED = "trained", "released", "released, not folded"
# written under another name than the shape has it
_RENAMED = {"image": "image_shape"}


def save_encoder(encoder: Encoder, folder: str | Path, extra: Mapping[str, Any]) -> None:
    """Write encoder.safetensors, then encoder.json, which names the weights' hash.

    Args:
        encoder: trained or released; a trained one's filter bases are saved too, since coefficients mean
            nothing without them.
        folder: where to.
        extra: further keys of encoder.json.
    """
    folder = Path(folder)
    tensors = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    write_tensors(folder / WEIGHTS, tensors)
    description = {
        **{_RENAMED.get(key, key): value for key, value in asdict(encoder.shape).items()},
        "form": _form(encoder),
        "parameters": parameter_count(encoder),
        "flops": flop_count(encoder),
        "weights_sha256": sha256(folder / WEIGHTS),
    }
    write_json(folder / DESCRIPTION, {**extra, **description})


def load_encoder(path: str | Path) -> Encoder:
    """A frozen encoder: in eval mode, without gradients; needs no escnn.

    A released one is accelerated for a CPU; see `eqssl.fast_cpu`.

    Args:
        path: the folder that holds encoder.safetensors and encoder.json, or one of the two files.

    Raises:
        ValueError: if a file is damaged or the two do not belong together.
        OSError: if one is missing.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    keys = [_RENAMED.get(field.name, field.name) for field in fields(Shape)]
    described = read_json(folder / DESCRIPTION, [*keys, "form", "weights_sha256"])
    shape = _shape(described)
    tensors = _read_weights(folder / WEIGHTS, described["weights_sha256"])
    if described["form"] == TRAINED:
        encoder = _empty(shape, tensors)
    elif described["form"] in (FOLDED, UNFOLDED):
        encoder = empty_release(shape, described["form"] == FOLDED)
    else:
        allowed = ", ".join((TRAINED, FOLDED, UNFOLDED))
        raise ValueError(f"{folder / DESCRIPTION}: form: given {described['form']!r}, allowed: {allowed}")
    fill(encoder, tensors, folder / WEIGHTS)
    encoder = encoder.eval().requires_grad_(False)
    return accelerate(encoder) if encoder.is_released else encoder


def _form(encoder: Encoder) -> str:
    if not encoder.is_released:
        return TRAINED
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, PlainConv2d)]
    return FOLDED if any(layer.bias is not None for layer in convolutions) else UNFOLDED


def _shape(described: Mapping[str, Any]) -> Shape:
    """The shape that a description tells."""
    values: dict[str, Any] = {}
    for field in fields(Shape):
        value = described[_RENAMED.get(field.name, field.name)]
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return Shape(**values)


def _empty(shape: Shape, tensors: Mapping[str, Tensor]) -> Encoder:
    """A trained encoder's layers, on the filter bases of its own file."""
    # a generator of its own, so that loading leaves torch's global one where it was
    generator = torch.Generator()
    sampling = torch.zeros(shape.samples, shape.size) if shape.samples else None
    output = torch.zeros(shape.order, shape.size) if shape.samples else None
    layers = EquivariantLayers(shape.size, sampling, _bases_of(tensors, shape.size), generator)
    plain = EquivariantLayers(1, None, _bases_of(tensors, 1), generator)
    return network(shape.name)(shape, layers, plain, output)


def _read_weights(path: Path, expected: str) -> dict[str, Tensor]:
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path}: SHA-256 is {found}, but {DESCRIPTION} names {expected}: damaged or mixed up"
        )
    tensors = read_tensors(path)
    for key, table in tensors.items():
        if key.endswith(".index"):
            check_table(f"{path}: {key}", table, tensors.get(f"{key.removesuffix('index')}basis"))
    return tensors


def _bases_of(tensors: Mapping[str, Tensor], size: int) -> Bases:
    """The filter bases that the file holds for fields of so many channels, by the sizes of their tables."""
    known = {
        tuple(table.shape): key.removesuffix("index")
        for key, table in tensors.items()
        if key.endswith(".index")
    }

    def bases(kind: Kind, kernel: int) -> FilterBasis:
        entries = kernel**2 * (1 if kind == "lift" else size)
        if (size, entries) not in known:
            raise ValueError(f"{WEIGHTS}: holds no {kind} basis of {kernel} x {kernel} filters")
        prefix = known[size, entries]
        return FilterBasis(tensors[f"{prefix}basis"], tensors[f"{prefix}index"].to(torch.int64))

    return bases
