"""Settings of the machine that runs the work."""

from __future__ import annotations

from eqssl.config.settings import Settings
from eqssl.config.values import Positive


class MachineSettings(Settings):
    """How this machine runs the work. None of these changes a result or a path."""

    device: str
    checkpoint_seconds: Positive
