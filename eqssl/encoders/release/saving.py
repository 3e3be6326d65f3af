"""Encoders on disk: safetensors for the weights, JSON for the rest. Nothing is unpickled."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from eqssl.config.encoders import EncoderSettings
from eqssl.config.groups import GROUPS
from eqssl.config.plain import shown
from eqssl.encoders import network
from eqssl.encoders.base import Encoder, Shape, flop_count, parameter_count
from eqssl.encoders.layers import Bases, EquivariantLayers
from eqssl.encoders.release import hub, pretrained
from eqssl.encoders.release.fold import empty_release
from eqssl.encoders.release.tensors import check_table, fill, read_tensors, write_tensors
from eqssl.fast_cpu import accelerate
from eqssl.machine.files import read_json, sha256
from eqssl.machine.records import FILES, MADE_OF, SEAL, Record, differs, read_record, seal_of, write_record
from eqssl.nn.plain import PlainConv2d
from eqssl.symmetry.filter_bases import FilterBasis, Kind


class Names(NamedTuple):
    """Names of the two files of an encoder."""

    weights: str
    description: str


OWN, HUB = Names("encoder.safetensors", "encoder.json"), Names("model.safetensors", "config.json")
"""In the results of the pipeline, and as other software expects them (`eqssl release`)."""
WEIGHTS, DESCRIPTION = OWN
TRAINED, FOLDED, UNFOLDED = "trained", "released", "released, not folded"
LARGEST = 2**16
"""Largest entry of a shape. A larger one is damage, and a network of that size would fill the memory."""
# attributes of `Shape` that have another name in encoder.json
_RENAMED = {"image": "image_shape"}


def save_encoder(
    encoder: Encoder,
    folder: str | Path,
    extra: Mapping[str, Any],
    made_of: Mapping[str, str] | None = None,
    names: Names = OWN,
    others: Sequence[str] = (),
) -> str:
    """Write encoder.safetensors, then encoder.json, a record (see `eqssl.machine.records`) that names it.

    Args:
        encoder: a trained or released encoder. The filter bases of a trained one are saved too, because
            coefficients mean nothing without them.
        folder: the folder to write to.
        extra: further keys of encoder.json.
        made_of: name -> seal of each record that the encoder was made of.
        names: of the two files.
        others: names of other files in the folder that the record names too.

    Returns:
        The seal of encoder.json.

    Example:
        >>> import tempfile, eqssl
        >>> from pathlib import Path
        >>> encoder = eqssl.pretexts.build("random", eqssl.Params.load("params.yaml")).encoder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_encoder(encoder, folder, {"made_for": "a test"})
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['encoder.json', 'encoder.safetensors']
    """
    folder = Path(folder)
    tensors = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    write_tensors(folder / names.weights, tensors)
    description = {
        **{_RENAMED.get(key, key): value for key, value in asdict(encoder.shape).items()},
        "form": _form(encoder),
        "parameters": parameter_count(encoder),
        "flops": flop_count(encoder),
        "weights_sha256": sha256(folder / names.weights),
    }
    files = [names.weights, *others]
    return write_record(folder / names.description, {**extra, **description}, files, made_of)


def folder_of(path: str | Path) -> Path:
    """The folder of an encoder: named itself or by one of its files, coming with eqssl, or on the hub.

    Raises:
        ValueError, OSError: as for `load_encoder`.
    """
    text = str(path)
    if text.startswith(pretrained.PREFIX):
        return pretrained.pretrained_folder(text.removeprefix(pretrained.PREFIX))
    if text.startswith(hub.PREFIX):
        return hub.downloaded(text.removeprefix(hub.PREFIX))
    path = Path(path)
    if path.is_dir():
        return path
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.name not in (*OWN, *HUB):
        allowed = f"a folder, {DESCRIPTION} or {WEIGHTS}"
        raise ValueError(f"{path}: given another file, allowed: {allowed}")
    return path.parent


def names_in(folder: Path) -> Names:
    """The names of the files of the encoder in a folder: those of a released one if only they are there."""
    released = (folder / HUB.description).exists() and not (folder / OWN.description).exists()
    return HUB if released else OWN


def load_encoder(path: str | Path) -> Encoder:
    """A frozen encoder: in eval mode, without gradients; needs no escnn.

    A released one is accelerated for a CPU; see `eqssl.fast_cpu`. Nothing is unpickled or executed.

    Args:
        path: the folder that holds encoder.safetensors and encoder.json, or model.safetensors and config.json
            (`eqssl release`); one of the files; `eqssl:GROUP`, one that comes with eqssl; or
            `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`, a repository on the hub of Hugging Face.

    Example:
        >>> import torch
        >>> from eqssl.encoders import load_encoder
        >>> encoder = load_encoder("eqssl:D4")
        >>> encoder(torch.rand(2, 1, 28, 28)).shape  # (batch, fields, |G|)
        torch.Size([2, 36, 8])

    Raises:
        ValueError: the path is another file, a file is damaged, or the two do not belong together; or the
            package huggingface_hub is missing.
        OSError: there is nothing at the path, one of the two files is missing, or the hub cannot be reached.

    Example:
        >>> import tempfile, eqssl
        >>> trained = eqssl.pretexts.build("random", eqssl.Params.load("params.yaml")).encoder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = eqssl.encoders.save_encoder(trained, folder, {})
        ...     encoder = eqssl.load_encoder(folder)
        >>> encoder.training, encoder.group_name
        (False, 'C4')
    """
    folder = folder_of(path)
    weights = folder / names_in(folder).weights
    described = read_description(folder)
    shape = _shape(described.path, described.values)
    tensors = _read_weights(weights, described.path, described.values["weights_sha256"])
    form = described.values["form"]
    if form == TRAINED:
        encoder = _empty(shape, tensors, weights)
    elif form in (FOLDED, UNFOLDED):
        encoder = empty_release(shape, form == FOLDED)
    else:
        allowed = ", ".join((TRAINED, FOLDED, UNFOLDED))
        raise ValueError(f"{described.path}: form: given {shown(form)}, allowed: {allowed}")
    fill(encoder, tensors, weights)
    encoder = encoder.eval().requires_grad_(False)
    return accelerate(encoder) if encoder.is_released else encoder


def read_description(folder: Path) -> Record:
    """The record of an encoder, encoder.json. One from before seals existed is accepted with a warning.

    Raises:
        ValueError: it is damaged, or lacks a key.
        OSError: it cannot be read.
    """
    names = names_in(folder)
    path = folder / names.description
    needed = [field.name for field in fields(Shape) if field.default is MISSING]
    keys = [*(_RENAMED.get(name, name) for name in needed), "form", "weights_sha256"]
    content = read_json(path, keys)
    # a record with one damaged key must not pass for one from before seals existed
    if content.keys() & {SEAL, FILES, MADE_OF}:
        return read_record(path, keys)
    warnings.warn(f"{path}: has no seal, so that only its weights are checked", stacklevel=3)
    return Record(path, content, {names.weights: content["weights_sha256"]}, {}, seal_of(content))


def _form(encoder: Encoder) -> str:
    if not encoder.is_released:
        return TRAINED
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, PlainConv2d)]
    return FOLDED if any(layer.bias is not None for layer in convolutions) else UNFOLDED


def _shape(path: Path, described: Mapping[str, Any]) -> Shape:
    """The shape in a description, after checking the type of each entry."""
    # encoders from before there were masks are of images that were cut to the disc, the default
    named = {field.name: _RENAMED.get(field.name, field.name) for field in fields(Shape)}
    values = {name: described[key] for name, key in named.items() if key in described}
    try:
        shape = TypeAdapter(Shape).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        # the place is empty if the whole cannot be read, such as half of a pair of UTF-16
        key = ".".join(_RENAMED.get(str(name), str(name)) for name in first["loc"])
        raise ValueError(f"{path}: {key}: given {shown(first['input'])}: {first['msg']}") from None
    EncoderSettings.named(shape.name, f"{path}: name")
    if shape.group not in GROUPS:
        raise ValueError(f"{path}: group: given {shown(shape.group)}, allowed: {', '.join(GROUPS)}")
    for name in ("order", "size", "samples", "fields", "equivariant_stages", "kernel", "image"):
        least = 0 if name in ("samples", "equivariant_stages") else 1
        numbers = getattr(shape, name)
        for number in numbers if isinstance(numbers, tuple) else (numbers,):
            if not least <= number <= LARGEST:
                key = _RENAMED.get(name, name)
                raise ValueError(f"{path}: {key}: given {shown(number)}, allowed: {least} to {LARGEST}")
    return shape


def _empty(shape: Shape, tensors: Mapping[str, Tensor], path: Path) -> Encoder:
    """A trained encoder's layers, on the filter bases of its own file."""
    # a separate generator, so that loading does not change the state of torch's global one
    generator = torch.Generator()
    sampling = torch.zeros(shape.samples, shape.size) if shape.samples else None
    output = torch.zeros(shape.order, shape.size) if shape.samples else None
    layers = EquivariantLayers(shape.size, sampling, _bases_of(tensors, shape.size, path), generator)
    plain = EquivariantLayers(1, None, _bases_of(tensors, 1, path), generator)
    return network(shape.name)(shape, layers, plain, output)


def _read_weights(path: Path, description: Path, expected: str) -> dict[str, Tensor]:
    found = sha256(path)
    if found != expected:
        raise ValueError(differs(path, found, description, expected))
    tensors = read_tensors(path)
    for key, table in tensors.items():
        if key.endswith(".index"):
            check_table(f"{path}: {key}", table, tensors.get(f"{key.removesuffix('index')}basis"))
    return tensors


def _bases_of(tensors: Mapping[str, Tensor], size: int, path: Path) -> Bases:
    """The filter bases in the file for fields of `size` channels, found by the shapes of their tables."""
    known = {
        tuple(table.shape): key.removesuffix("index")
        for key, table in tensors.items()
        if key.endswith(".index")
    }

    def bases(kind: Kind, kernel: int) -> FilterBasis:
        entries = kernel**2 * (1 if kind == "lift" else size)
        if (size, entries) not in known:
            raise ValueError(f"{path}: holds no {kind} basis of {kernel} x {kernel} filters")
        prefix = known[size, entries]
        return FilterBasis(tensors[f"{prefix}basis"], tensors[f"{prefix}index"].to(torch.int64))

    return bases
