"""Weights & Biases, offline: files that `wandb sync` sends when a person asks for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from eqssl.machine.variables import environment
from eqssl.training.trackers.base import Parameters, Tracker

PROJECT = "eqssl"
FLUSH_SECONDS = 0.1
"""Time until numbers are in the file; the process that writes them ends with this one."""


class WandB(Tracker):
    """A run in the folder `wandb`, offline whatever the environment says. Arguments as `OpensRun`.

    Of the machine and its user nothing is recorded. A resumed run has one more folder with the same id, since
    the library cannot add to a file of an earlier process.
    """

    def __init__(self, folder: Path, name: str, parameters: Parameters, resumed: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Without the variable the library reports its own errors over the network.
        with environment(WANDB_ERROR_REPORTING="false"):
            import wandb

            settings = wandb.Settings(
                mode="offline",
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                symlink=False,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
                x_transaction_log_flush_interval=FLUSH_SECONDS,
            )
            self._run = wandb.init(
                project=PROJECT,
                dir=str(folder),
                name=name,
                id=hashlib.sha256(name.encode()).hexdigest()[:16],
                resume="allow" if resumed else None,
                config=dict(parameters),
                settings=settings,
                reinit="create_new",
            )

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers; the library writes them from a process of its own."""
        self._run.log(dict(numbers), step=step, commit=True)  # without it, held back until the next step

    def close(self, failed: bool = False) -> None:
        """Mark the run as ended. All of it is in the file at the latest when the program ends."""
        self._run.finish(exit_code=int(failed))
