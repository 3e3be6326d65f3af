"""Settings of the machine that runs the work."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from eqssl.config.plain import shown
from eqssl.config.settings import Settings
from eqssl.config.values import Positive

MOST_CELLS = 1_000_000


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
    """

    device: Annotated[str, AfterValidator(_device)]
    checkpoint_seconds: Positive
    most_cells: Annotated[int, Field(ge=1, le=MOST_CELLS)] = 20_000
