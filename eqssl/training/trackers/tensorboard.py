"""TensorBoard: event files, one folder for each run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eqssl.training.trackers.base import Parameters, Tracker


class TensorBoard(Tracker):
    """A run as event files in `tensorboard/NAME`; the parameters are those of the tab HPARAMS.

    A resumed run adds a file to the folder, which TensorBoard reads as one curve. Arguments as `OpensRun`.
    """

    def __init__(self, folder: Path, name: str, parameters: Parameters, resumed: bool) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from torch.utils.tensorboard import SummaryWriter

        if resumed:  # files are read in the order of their names, which tell whole seconds
            time.sleep(1.0 - time.time() % 1.0)
        self._writer = SummaryWriter(str(folder / "tensorboard" / name))
        if parameters and not resumed:
            files: Any = self._writer.file_writer
            files.add_summary(hparams_pb(dict(parameters), trial_id=name))
        self._writer.flush()

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers; they are in the file when this returns."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, failed: bool = False) -> None:
        """Close the file."""
        self._writer.close()
