"""Write the released form of a trained encoder to another folder, with an ONNX file if asked for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqssl.encoders.base import Encoder
from eqssl.encoders.release.fold import release
from eqssl.encoders.release.saving import load_encoder, read_description, save_encoder
from eqssl.machine.files import atomic, sha256
from eqssl.machine.packages import need

ONNX = "encoder.onnx"
TOLERANCE = 1e-5
"""Largest relative difference between the outputs of a trained encoder and those of its released form."""
ONNX_PACKAGES = ("onnx", "onnxscript")
LARGEST_ONNX = 2**31 - 2**20
"""Most bytes of weights in one ONNX file. The format allows 2 GiB for the whole file."""


def export(source: str | Path, target: str | Path, fold: bool = True, onnx: bool = False) -> float:
    """Write the released form of a trained encoder.

    Nothing is written unless its outputs agree with those of the trained encoder. All keys of the trained
    encoder.json are kept; `released_from` is the hash of the trained weights, `onnx_sha256` that of
    encoder.onnx where there is one.

    Args:
        source: folder of the trained encoder.safetensors and encoder.json.
        target: folder to write the released ones to; another folder.
        fold: whether batch norms are folded into the convolutions before them.
        onnx: whether to write encoder.onnx too; otherwise one of an earlier export is removed.

    Returns:
        The largest relative difference between the outputs of the two encoders.

    Raises:
        ValueError: if the encoder is damaged or released already, the folders are the same, outputs differ
            by more than `TOLERANCE`, or a package for ONNX is missing.
        OSError: if a file cannot be read or written.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ValueError(f"--out: given {target}, the folder of the trained encoder; allowed: another folder")
    if onnx:
        _check_onnx_packages()
    trained = load_encoder(source)
    released = release(trained, fold)
    difference = checked_difference(trained, released)
    described = read_description(source)
    extra = {**described.values, "released_from": described.values["weights_sha256"]}
    extra.pop("onnx_sha256", None)
    if onnx:
        model = onnx_model(released)
        with atomic(target / ONNX) as temporary:
            temporary.write_bytes(model)
        extra["onnx_sha256"] = sha256(target / ONNX)
    else:
        (target / ONNX).unlink(missing_ok=True)
    save_encoder(released, target, extra, {"trained": described.seal})
    return difference


def checked_difference(trained: Encoder, released: Encoder, batch: int = 4) -> float:
    """The largest relative difference of outputs: of every stage and of the invariant feature, in eval mode.

    Args:
        trained: the encoder that is taken as correct.
        released: the encoder to compare with it.
        batch: number of random images.

    Raises:
        ValueError: if it is above `TOLERANCE` or not a number.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, *trained.image_shape, generator=generator)
    with torch.no_grad():
        expected = [*trained.stages(images), trained.invariant(images)]
        found = [*released.stages(images), released.invariant(images)]
    differences = [relative(f, e) for f, e in zip(found, expected, strict=True)]
    # written so that NaN is refused as well
    if not all(difference <= TOLERANCE for difference in differences):
        listed = ", ".join(f"{difference:.1e}" for difference in differences)
        raise ValueError(
            f"the released network differs from the trained encoder: relative error {listed} "
            f"(stages, then the invariant feature), allowed: {TOLERANCE:.0e}"
        )
    return max(differences)


def relative(found: Tensor, expected: Tensor) -> float:
    """The difference relative to the expected values; 0 if both are equal, even if both are 0."""
    difference = float((found - expected).norm())
    return difference / float(expected.norm()) if difference else 0.0


class _Outputs(nn.Module):
    """A module that gives both kinds of features in one pass."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, images: Float[Tensor, "batch channel side side"]
    ) -> tuple[Float[Tensor, "batch fields order"], Float[Tensor, "batch fields"]]:
        features = self.encoder(images)
        return features, self.encoder.pool(features)


def onnx_model(released: Encoder, largest: int = LARGEST_ONNX) -> bytes:
    """An ONNX model of a released network, checked; the same bytes for the same network.

    Its input `images` are normalised float32 images, shape (batch, channels, side, side), with any batch;
    its outputs are `features`, shape (batch, fields, order), and `invariant`, shape (batch, fields).

    Args:
        released: the network.
        largest: bytes that its weights may take.

    Raises:
        ValueError: if a package is missing, or the weights do not fit into one file.
    """
    _check_onnx_packages()
    import onnx

    # not a batch of 1, which tracing would take for a constant
    images = torch.zeros(2, *released.image_shape)
    with _quiet():
        program = torch.onnx.export(
            _Outputs(released).eval(),
            (images,),
            input_names=["images"],
            output_names=["features", "invariant"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is None only without dynamo
    model: Any = program.model_proto
    size = sum(len(weights.raw_data) for weights in model.graph.initializer)
    if size > largest:
        raise ValueError(f"--onnx: the weights take {size} bytes, allowed: at most {largest} in one file")
    _forget_origin(model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def write_program(released: Encoder, path: Path) -> None:
    """A released network as a program of `torch.export`, for any batch; inputs and outputs as `onnx_model`.

    The file holds no pickle: weights are raw, the rest is JSON.

    Args:
        released: the network.
        path: the file, .pt2.
    """
    images = torch.zeros(2, *released.image_shape)
    shapes = ({0: torch.export.Dim("batch", min=1, max=2**16)},)
    with _quiet():
        program = torch.export.export(_Outputs(released).eval(), (images,), dynamic_shapes=shapes)
        program.example_inputs = None  # would be pickled
        for node in program.graph.nodes:  # paths of this machine, which concern nobody else
            node.meta.pop("stack_trace", None)
        torch.export.save(program, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings, which are about other libraries and its own future versions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _forget_origin(model: Any) -> None:
    """Remove the exporter's notes about its source: paths of this machine, which concern nobody else."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in ("node", "input", "output", "value_info", "initializer"):
        for item in getattr(model.graph, part):
            del item.metadata_props[:]
            item.ClearField("doc_string")


def _check_onnx_packages() -> None:
    """Refuse to begin without the packages that write ONNX.

    Raises:
        ValueError: names the first that is missing.
    """
    need(*ONNX_PACKAGES, told="--onnx: ")
