"""Run the forms of a released encoder, where neither escnn nor the pipeline's tools can be imported.

    python -m eqssl.encoders.release.checking FOLDER SAMPLES.safetensors

prints JSON: file -> the largest relative difference between its outputs and those in SAMPLES.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

IMAGES, FEATURES, INVARIANT = "images", "features", "invariant"
WEIGHTS, PROGRAM, ONNX = "model.safetensors", "model.pt2", "model.onnx"
FORBIDDEN = ("escnn", "snakemake", "dvc")


def main(folder: Path, samples: Path) -> dict[str, float]:
    """The largest relative difference of each form."""
    for name in FORBIDDEN:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails from now on
    from safetensors.torch import load_file

    found = load_file(samples)
    side = found[f"{IMAGES}.0"].shape[-1]
    result = {}
    for name, run in _forms(folder):
        result[name] = max(
            _difference(run, found, number)
            for number in range(sum(key.startswith(f"{IMAGES}.") for key in found))
            # a compiled form has the size of the training
            if name == WEIGHTS or found[f"{IMAGES}.{number}"].shape[-1] == side
        )
    return result


def _forms(folder: Path) -> Iterator[tuple[str, Callable[[Any], Sequence[Any]]]]:
    """Each file, and what it gives for images: features and invariant ones."""
    import torch

    from eqssl.encoders.release.saving import load_encoder

    encoder = load_encoder(folder)
    yield WEIGHTS, lambda images: (encoder(images), encoder.invariant(images))
    program = torch.export.load(folder / PROGRAM).module()
    yield PROGRAM, program
    if (folder / ONNX).exists():
        import onnxruntime  # type: ignore[import-untyped]

        session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
        yield (
            ONNX,
            lambda images: tuple(map(torch.from_numpy, session.run(None, {IMAGES: images.numpy()}))),
        )


def _difference(run: Callable[[Any], Sequence[Any]], found: dict[str, Any], number: int) -> float:
    import torch

    from eqssl.encoders.release.exporting import relative

    with torch.no_grad():
        given = run(found[f"{IMAGES}.{number}"])
    expected = found[f"{FEATURES}.{number}"], found[f"{INVARIANT}.{number}"]
    if [value.shape for value in given] != [value.shape for value in expected]:
        return float("inf")
    return max(relative(value, right) for value, right in zip(given, expected, strict=True))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
