"""DVCLive: tables and JSON files, one folder for each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from eqssl.machine.variables import environment
from eqssl.training.trackers.base import Parameters, Tracker


class DVCLive(Tracker):
    """A run in `dvclive/NAME`. Arguments as `OpensRun`.

    It makes no experiment and no dvc.yaml, and leaves git alone. `Live.end` is never called, because inside
    `dvc exp run` it adds files to git.
    """

    def __init__(self, folder: Path, name: str, parameters: Parameters, resumed: bool) -> None:
        with environment(DVC_STUDIO_OFFLINE="true"):
            from dvclive.live import Live

            place = folder / "dvclive" / name
            _drop_cut_off(place / "metrics.json")
            self._live = Live(
                str(place),
                resume=resumed,
                report=None,
                save_dvc_exp=False,
                dvcyaml=None,
            )
        self._live.log_params(dict(parameters))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers; they are in the files when this returns."""
        self._live.step = step
        for name, value in numbers.items():
            self._live.log_metric(name, value)
        self._live.make_summary()

    def close(self, failed: bool = False) -> None:
        """Nothing is left to write."""


def _drop_cut_off(latest: Path) -> None:
    """Remove the file of the latest numbers if a kill cut it off; the library would not go on with it."""
    if latest.exists():
        try:
            json.loads(latest.read_bytes())
        except ValueError:
            latest.unlink()
