"""Start a tracker by its name."""

from __future__ import annotations

import os
import time
from pathlib import Path

from eqssl.training.trackers.base import Parameters, Tracker
from eqssl.training.trackers.guarded import Guarded
from eqssl.training.trackers.registry import require_tracker


def start_tracker(
    kind: str, name: str, parameters: Parameters | None = None, folder: str | Path = "trackers"
) -> Tracker:
    """Start a run in the records of a tracking program.

    Nothing is sent anywhere: every kind writes files. A tracker that fails says so once on standard error and
    does nothing from then on, so it never ends a training.

    Args:
        kind: "tensorboard", "mlflow", "wandb" or "dvclive".
        name: of what runs; slashes in it group runs. The run is called `NAME/TIME`, so each has its own name.
        parameters: what holds for the whole run, such as its settings.
        folder: where trackers write; each kind has its own folder in it.

    Raises:
        ValueError: there is no such kind, or its library is not installed.

    Example:
        >>> import tempfile
        >>> from eqssl.training.trackers import start_tracker
        >>> folder = tempfile.mkdtemp()
        >>> with start_tracker("tensorboard", "mine", {"learning_rate": 0.003}, folder) as tracker:
        ...     for step in range(1, 4):
        ...         tracker.log({"loss": 1 / step}, step)
    """
    opens = require_tracker(kind, "kind")
    run = new_run(name)
    return Guarded(kind, lambda: opens.imported()(Path(folder), run, parameters or {}, resumed=False))


def new_run(name: str) -> str:
    """A name that no other run has, and that tells when this one began."""
    return f"{name}/{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
