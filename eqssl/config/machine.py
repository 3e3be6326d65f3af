"""Settings of the machine that runs the work."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from eqssl.config.plain import shown
from eqssl.config.settings import Settings
from eqssl.config.values import Positive

MOST_CELLS = 1_000_000
DECODED_MB, CACHE_MB = 4096, 20_480
"""Sizes that no setting changes; see `MachineSettings`."""
MOST_MB = 2**30
MOST_JOBS_PER_GPU = 64
TrackerName = Literal["none", "tensorboard", "mlflow", "wandb", "dvclive"]


def _device(name: str) -> str:
    """What torch takes; whether this machine has it is seen later, since another one may run the work."""
    if not re.fullmatch(r"[a-z]{2,20}(:[0-9]{1,4})?", name):
        allowed = "auto, cpu, cuda, cuda:0 or another device of torch"
        raise ValueError(f"given {shown(name)}, allowed: {allowed}")
    return name


class MachineSettings(Settings):
    """How this machine runs the work. None of these changes a result or a path.

    Attributes:
        device: `auto`, or what torch calls it.
        checkpoint_seconds: time between checkpoints.
        most_cells: a larger grid is refused, so that a list with a slip does not start weeks of work.
        decoded_mb: a split of more decoded images (in MiB) is read from the tars and decoded in each epoch; a
            smaller one is decoded once and kept in the scratch folder.
        cache_mb: most MiB of tars from another machine that are kept in the scratch folder.
        jobs_per_gpu: how many jobs may use one GPU at the same time (`eqssl.machine.gpu_places`).
        tracker: the program for whose display the progress of pretraining is written as well
            (`eqssl.training.trackers`).
    """

    device: Annotated[str, AfterValidator(_device)]
    checkpoint_seconds: Positive
    most_cells: Annotated[int, Field(ge=1, le=MOST_CELLS)] = 20_000
    decoded_mb: Annotated[int, Field(ge=0, le=MOST_MB)] = DECODED_MB
    cache_mb: Annotated[int, Field(ge=1, le=MOST_MB)] = CACHE_MB
    jobs_per_gpu: Annotated[int, Field(ge=1, le=MOST_JOBS_PER_GPU)] = 1
    tracker: TrackerName = "none"
