"""A released encoder in every form that other software reads, each checked in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from eqssl.encoders.base import Encoder
from eqssl.encoders.release.checking import FEATURES, IMAGES, INVARIANT, ONNX, PROGRAM
from eqssl.encoders.release.exporting import TOLERANCE, checked_difference, onnx_model, write_program
from eqssl.encoders.release.fold import release
from eqssl.encoders.release.saving import HUB, load_encoder, read_description, save_encoder
from eqssl.encoders.windows import check_windows
from eqssl.machine.code import PACKAGE

_BATCHES = (1, 3)


def release_forms(source: Path, target: Path, onnx: bool = True) -> dict[str, float]:
    """Write model.safetensors and config.json, model.pt2 and model.onnx into an empty folder.

    config.json is the encoder.json of the trained encoder, with the hash of each file. The forms are run in a
    process that can import neither escnn nor Snakemake nor DVC, on images of several batch sizes, and
    model.safetensors also on images of another size. They may differ from the trained encoder by a relative
    error of 1e-5.

    Args:
        source: folder of the trained encoder.
        target: the folder; files in it are replaced.
        onnx: whether to write model.onnx.

    Returns:
        File -> the largest relative difference of its outputs.

    Raises:
        ValueError: the encoder is damaged or released already, a form differs by more, or a package for ONNX
            is missing.
        OSError: a file cannot be read or written.
    """
    trained, described = load_encoder(source), read_description(source)
    released = release(trained)
    checked_difference(trained, released)
    others = [PROGRAM, *([ONNX] if onnx else [])]
    write_program(released, target / PROGRAM)
    if onnx:
        (target / ONNX).write_bytes(onnx_model(released))
    extra = {**described.values, "released_from": described.values["weights_sha256"]}
    save_encoder(released, target, extra, {"trained": described.seal}, HUB, others)
    found = _differences(target, _samples(trained))
    for name in (HUB.weights, *others):
        if not found.get(name, float("nan")) <= TOLERANCE:  # also refuses what was not measured
            given = found.get(name, "nothing")
            raise ValueError(f"{name}: differs from the trained encoder by {given}, allowed: {TOLERANCE:.0e}")
    return found


def _samples(trained: Encoder) -> dict[str, Tensor]:
    """Images of several batch sizes, and of another size, with the trained encoder's outputs."""
    channels, side, _ = trained.image_shape
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, channels, side, side) for batch in _BATCHES]
    if (other := _other_side(trained)) is not None:
        shapes.append((2, channels, other, other))
    samples: dict[str, Tensor] = {}
    for number, shape in enumerate(shapes):
        images = torch.randn(shape, generator=generator)
        with torch.no_grad():
            features, invariant = trained(images), trained.invariant(images)
        named = {IMAGES: images, FEATURES: features, INVARIANT: invariant}
        samples |= {f"{name}.{number}": value.contiguous() for name, value in named.items()}
    return samples


def _other_side(trained: Encoder) -> int | None:
    """A size at which the encoder is exact too, the next one above that of the training."""
    channels, side, _ = trained.image_shape
    for other in range(side + 1, side + 17):
        try:
            check_windows(type(trained), replace(trained.shape, image=(channels, other, other)))
        except ValueError:
            continue
        return other
    return None


def _differences(folder: Path, samples: dict[str, Tensor]) -> dict[str, float]:
    """What `eqssl.encoders.release.checking` finds, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        samples_file = Path(place) / "samples.safetensors"
        save_file(samples, samples_file)
        # this very package, whatever the current folder holds
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "eqssl.encoders.release.checking", str(folder), str(samples_file)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    if ended.returncode:
        last = (ended.stderr.strip() or "no message").splitlines()[-1]
        raise ValueError(f"the released encoder cannot be used in another process: {last}")
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def put_in_place(made: Path, target: Path) -> None:
    """Move a finished folder to where an earlier release or nothing is. The earlier one lands beside `made`.

    Raises:
        ValueError: something else is there.
    """
    check_place(target)
    if target.exists():
        target.rename(made.with_name(f"{made.name}.before"))
    made.rename(target)


def check_place(target: Path) -> None:
    """Refuse a folder that holds something other than a release.

    Raises:
        ValueError: names it.
    """
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / HUB.description).exists()):
        raise ValueError(
            f"--out: given {target}, which holds something else; allowed: a new folder or a release"
        )
