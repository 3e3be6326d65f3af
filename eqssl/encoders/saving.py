"""Encoders on disk: safetensors for the weights, JSON for the rest. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from eqssl.encoders import network
from eqssl.encoders.base import Bases, Encoder, Shape, flop_count, parameter_count
from eqssl.files import atomic, read_json, sha256, write_json
from eqssl.nn.filters import FilterBasis, Kind

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"


def save_encoder(encoder: Encoder, folder: str | Path, extra: Mapping[str, Any]) -> None:
    """Write encoder.safetensors, then encoder.json, which names the weights' hash.

    Args:
        encoder: the encoder; its filter bases are saved too, since escnn's differ between machines.
        folder: where to.
        extra: further keys of encoder.json.
    """
    folder = Path(folder)
    shape = encoder.shape
    tensors = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    with atomic(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    description = {
        "name": encoder.name,
        "group": shape.group,
        "order": shape.order,
        "fields": list(shape.fields),
        "kernel": shape.kernel,
        "image_shape": list(shape.image),
        "group_pooling": shape.group_pooling,
        "mean": list(shape.mean),
        "std": list(shape.std),
        "parameters": parameter_count(encoder),
        "flops": flop_count(encoder),
        "weights_sha256": sha256(folder / WEIGHTS),
    }
    write_json(folder / DESCRIPTION, {**extra, **description})


def load_encoder(path: str | Path) -> Encoder:
    """A frozen encoder: in eval mode, without gradients; needs no escnn.

    Args:
        path: the folder that holds encoder.safetensors and encoder.json, or one of the two files.

    Raises:
        ValueError: if a file is damaged or the two do not belong together.
        OSError: if one is missing.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    described = _read_description(folder / DESCRIPTION)
    tensors = _read_weights(folder / WEIGHTS, described["weights_sha256"])
    shape = Shape(
        group=described["group"],
        order=described["order"],
        fields=tuple(described["fields"]),
        kernel=described["kernel"],
        image=tuple(described["image_shape"]),
        group_pooling=described["group_pooling"],
        mean=tuple(described["mean"]),
        std=tuple(described["std"]),
    )
    # a generator of its own, so that loading leaves torch's global one where it was
    encoder = network(described["name"])(shape, _bases_of(tensors, shape), torch.Generator())
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS}: does not fit {DESCRIPTION}: {error}") from None
    return encoder.eval().requires_grad_(False)


def _read_description(path: Path) -> dict[str, Any]:
    needed = ("name", "group", "order", "fields", "kernel", "image_shape", "group_pooling", "mean", "std")
    return read_json(path, (*needed, "weights_sha256"))


def _read_weights(path: Path, expected: str) -> dict[str, Tensor]:
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path}: SHA-256 is {found}, but {DESCRIPTION} names {expected}: damaged or mixed up"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not safetensors: {error}") from None


def _bases_of(tensors: Mapping[str, Tensor], shape: Shape) -> Bases:
    """The filter bases that the file holds, by the sizes of their tables."""

    def bases(kind: Kind, kernel: int) -> FilterBasis:
        entries = kernel**2 * (1 if kind == "lift" else shape.order)
        for key, rows in tensors.items():
            if key.endswith(".basis") and rows.shape[1] == entries:
                return FilterBasis(rows, tensors[key.removesuffix("basis") + "index"].to(torch.int64))
        raise ValueError(f"{WEIGHTS}: holds no {kind} basis of {kernel} x {kernel} filters")

    return bases
