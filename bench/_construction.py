"""How long an encoder takes to build, each time in a new process: with escnn's cache empty, then filled.

    python bench/_construction.py ENCODER GROUP KERNEL SIDE CACHE

builds one encoder with escnn's cache in the folder CACHE and prints JSON. The installed package is not
touched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PAPERS = {"encoder": "resnet18", "kernel": 3, "side": 32}


def construction(group: str) -> dict[str, Any]:
    """Seconds to build a ResNet-18 with cold and warm cache, without imports, and its checkpoint's size."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (_built_elsewhere(group, cache) for _ in range(2))
    return {
        "encoder": PAPERS["encoder"],
        "group": group,
        "cold_s": cold["seconds"],
        "warm_s": warm["seconds"],
        "import_s": warm["import_seconds"],
        "second_s": warm["second_seconds"],
        "cold_cache_files": cold["cache_files"],
        "parameter_bytes": warm["parameter_bytes"],
        "basis_bytes": warm["basis_bytes"],
        "checkpoint_bytes": warm["checkpoint_bytes"],
    }


def _built_elsewhere(group: str, cache: str) -> dict[str, Any]:
    command = [sys.executable, __file__, PAPERS["encoder"], group, PAPERS["kernel"], PAPERS["side"], cache]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _move_cache(folder: str) -> None:
    """Make escnn cache its results in a folder. Call this before escnn is imported."""
    import joblib

    class Elsewhere(joblib.Memory):  # type: ignore[misc]
        def __init__(self, location: object, *rest: Any, **options: Any) -> None:
            super().__init__(folder, *rest, **{**options, "verbose": 0})

    joblib.Memory = Elsewhere


def _build(name: str, group_name: str, kernel: int, side: int) -> dict[str, Any]:
    started = time.perf_counter()
    import torch

    from eqssl.config.encoders import EncoderSettings
    from eqssl.encoders import build_encoder, save_encoder
    from eqssl.symmetry import _escnn  # noqa: F401 - imported here so that it does not count as building

    torch.set_num_threads(1)
    imported = time.perf_counter()
    settings = EncoderSettings.read(
        {"name": name, "kernel": kernel, "match": "params", "group_pooling": "mean"}
    )
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        encoder = build_encoder(settings, group_name, (3, side, side), [0.5] * 3, [0.25] * 3)
        times.append(time.perf_counter() - begun)
    from _measuring import tensor_bytes

    parameters, bases = tensor_bytes(encoder)
    with tempfile.TemporaryDirectory() as folder:
        save_encoder(encoder, folder, {})
        checkpoint = (Path(folder) / "encoder.safetensors").stat().st_size
    return {
        "import_seconds": round(imported - started, 3),
        "seconds": round(times[0], 3),
        "second_seconds": round(times[1], 3),
        "parameter_bytes": parameters,
        "basis_bytes": bases,
        "checkpoint_bytes": checkpoint,
    }


def main() -> int:
    """Build one encoder and print how long it took."""
    name, group, kernel, side, cache = sys.argv[1:]
    _move_cache(cache)
    found = _build(name, group, int(kernel), int(side))
    found["cache_files"] = sum(path.is_file() for path in Path(cache).rglob("*"))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
