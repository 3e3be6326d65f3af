"""Every kind of label task, small, for tests."""

from pathlib import Path

import torch
from torch import Tensor

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts.labels.base import Draw, LabelTask

PATCHES = {"head": "equivariant", "margin": 0.1, "jitter": 2, "gray": 0.5, "hidden": 32}
TASKS: dict[str, dict] = {
    "grid": {**PATCHES, "task": "relative_location", "layout": "grid", "cell": 14, "patch": 10},
    "ring": {**PATCHES, "task": "relative_location", "layout": "ring", "cell": 14, "patch": 8, "jitter": 1},
    "jigsaw of 4": {
        **PATCHES,
        "task": "jigsaw",
        "cells": 2,
        "permutations": 24,
        "distance": "mean",
        "set_seed": 0,
        "draws": 3,
        "cell": 18,
        "patch": 14,
    },
    "jigsaw of 9": {
        **PATCHES,
        "task": "jigsaw",
        "cells": 3,
        "permutations": 20,
        "distance": "min",
        "set_seed": 1,
        "draws": 1,
        "cell": 12,
        "patch": 8,
    },
    "orientation of the group": {
        "task": "orientation",
        "head": "equivariant",
        "labels": "group",
        "hidden": [32, 16],
    },
    "orientation in quarters": {
        "task": "orientation",
        "head": "equivariant",
        "labels": "rotations",
        "hidden": 32,
    },
    "relative turn of the group": {
        "task": "relative_turn",
        "head": "equivariant",
        "labels": "group",
        "hidden": [32, 16],
    },
    "relative turn in quarters": {
        "task": "relative_turn",
        "head": "equivariant",
        "labels": "rotations",
        "hidden": 32,
    },
}
GRID = ["grid", "jigsaw of 4", "jigsaw of 9"]
PARAMS = Params.load(Path(__file__).parents[2] / "params.yaml")


def build(task: str, group_name: str, channels: int = 1, size: int = 28, **changes) -> LabelTask:
    """A task in float64."""
    entry = PretextSettings.read({**TASKS[task], **changes}, "pretexts.tested")
    encoder = PARAMS.encoder.model_copy(update={"width": (4, 8)})
    changed = PARAMS.model_copy(
        update={"group": group_name, "encoder": encoder, "pretexts": {"tested": entry}}
    )
    return pretexts.build("tested", changed, image_shape=(channels, size, size)).double()


def examples(pretext: LabelTask, count: int = 8) -> Tensor:
    """Images of noise in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, *pretext.encoder.image_shape, generator=generator, dtype=torch.float64)


def drawn(pretext: LabelTask, count: int = 8) -> tuple[Tensor, Tensor, Draw]:
    """Images, labels spread over all of them, and what the corruption draws."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) * max(1, len(pretext.labels) // count) % len(pretext.labels)
    return examples(pretext, count), labels, pretext.draw(count, generator)
