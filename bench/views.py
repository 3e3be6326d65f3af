"""Random views: images per second, here and with kornia, measured in turns in one process.

    python bench/views.py [--quick] [--threads N] [--device NAME] [--json FILE]

Both make the same kind of view: crop, turn by any angle with a mirroring, brightness, contrast, and with 3
channels saturation, hue and grayscale. kornia (an optional package) resamples for the crop and again for the
turn. The ratio is the median over rounds of our speed / kornia's within a round, so that a busy machine slows
down both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kornia.augmentation as kornia
import torch
from torch import Tensor, nn

from eqssl.config.views import ViewSettings
from eqssl.data.views.random_view import random_view
from eqssl.machine.provenance import record

SHAPES = [(256, 1, 28, 28), (256, 3, 32, 32), (64, 3, 96, 96)]
SETTINGS = ViewSettings(
    crop_scale=(0.3, 1.0),
    crop_ratio=(0.75, 1.3333),
    turn="angle",
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    jitter=0.8,
    grayscale=0.2,
    blur=0.0,
    solarise=0.0,
)


def kornia_view(channels: int, side: int) -> nn.Module:
    """The same kind of view by kornia."""
    steps: list[nn.Module] = [
        kornia.RandomResizedCrop((side, side), scale=SETTINGS.crop_scale, ratio=SETTINGS.crop_ratio),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomRotation(180.0, p=1.0),
    ]
    if channels == 3:
        steps += [kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), kornia.RandomGrayscale(p=0.2)]
    else:
        steps += [kornia.RandomBrightness((0.6, 1.4), p=0.8), kornia.RandomContrast((0.6, 1.4), p=0.8)]
    return nn.Sequential(*steps)


def seconds(function: Callable[[Tensor], Tensor], images: Tensor, calls: int) -> float:
    """Time of `calls` calls, including the device's work."""
    started = time.perf_counter()
    for _ in range(calls):
        result = function(images)
    result.flatten()[0].item()  # waits for the device
    return time.perf_counter() - started


def measure(shape: tuple[int, int, int, int], device: str, rounds: int, calls: int) -> dict[str, Any]:
    """One line of the result."""
    images = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)
    generator = torch.Generator(device).manual_seed(0)
    theirs = kornia_view(shape[1], shape[3])

    def ours(batch: Tensor) -> Tensor:
        return random_view(batch, SETTINGS, generator)

    def other(batch: Tensor) -> Tensor:
        result: Tensor = theirs(batch.float() / 255)
        return result

    for function in (ours, other):
        seconds(function, images, 2)
    pairs = [(seconds(ours, images, calls), seconds(other, images, calls)) for _ in range(rounds)]
    count = shape[0] * calls
    return {
        "shape": list(shape),
        "images_per_second": round(count / statistics.median(own for own, _ in pairs)),
        "kornia_images_per_second": round(count / statistics.median(their for _, their in pairs)),
        "ratio": round(statistics.median(their / own for own, their in pairs), 2),
    }


def main() -> int:
    """Measure, print a line for each shape, and write JSON if asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few rounds only")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rounds, calls = (3, 2) if options.quick else (15, 8)
    results = []
    for shape in SHAPES:
        result = measure(shape, options.device, rounds, calls)
        results.append(result)
        print(
            f"{'x'.join(map(str, shape)):>12}: {result['images_per_second']:>8,} images/s, "
            f"kornia {result['kornia_images_per_second']:>8,}, ratio {result['ratio']:.2f}"
        )
    if options.json:
        from importlib.metadata import version

        setting = {"threads": options.threads, "device": options.device, "kornia": version("kornia")}
        values = {"benchmark": "views", **setting, "results": results, "versions": record()}
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
