"""MLflow: its store of files, with one experiment for all runs."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eqssl.machine.locks import open_lock
from eqssl.machine.variables import environment
from eqssl.training.trackers.base import Parameters, Tracker

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "eqssl"
MOST_PARAMETERS, LONGEST = 100, 6000
"""Parameters that the library takes in one call, and letters of a value."""
OFFLINE = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""MLflow 3 opens a store of files only if it is allowed to, and reports its use unless it is told not to."""


class MLflow(Tracker):
    """A run in the folder `mlflow`, a store of files. Arguments as `OpensRun`."""

    def __init__(self, folder: Path, name: str, parameters: Parameters, resumed: bool) -> None:
        place = (folder / "mlflow").resolve()
        place.mkdir(parents=True, exist_ok=True)
        with open_lock(place / ".lock") as lock:
            # Two processes that find no experiment of this name would both make one.
            fcntl.flock(lock, fcntl.LOCK_EX)
            with environment(**OFFLINE):
                from mlflow.tracking import MlflowClient

                self._client = MlflowClient(tracking_uri=place.as_uri())
            found = self._client.get_experiment_by_name(EXPERIMENT)
            experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        known = _run_of(self._client, experiment, name) if resumed else None
        if known is None:
            self._run: str = self._client.create_run(experiment, run_name=name).info.run_id
            self._write_parameters(parameters)
        else:
            self._run = known
            self._client.update_run(known, status="RUNNING")

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers; they are in the files when this returns."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in numbers.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self, failed: bool = False) -> None:
        """Mark the run as finished, or as killed; a killed one may be resumed."""
        self._client.set_terminated(self._run, "KILLED" if failed else "FINISHED")

    def _write_parameters(self, parameters: Parameters) -> None:
        from mlflow.entities import Param

        given = [Param(name, str(value)[:LONGEST]) for name, value in parameters.items()]
        for start in range(0, len(given), MOST_PARAMETERS):
            self._client.log_batch(self._run, params=given[start : start + MOST_PARAMETERS])


def _run_of(client: MlflowClient, experiment: str, name: str) -> str | None:
    """The newest run of that name."""
    runs = client.search_runs(
        [experiment],
        f"attributes.run_name = {json.dumps(name)}",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return runs[0].info.run_id if runs else None
