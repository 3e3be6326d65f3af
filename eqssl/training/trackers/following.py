"""The tracker of a cell in training, which goes on where a killed process stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from eqssl.config.jobs import PretrainJob
from eqssl.config.plain import flat
from eqssl.machine.scratch import project
from eqssl.training.trackers.base import Parameters, Tracker
from eqssl.training.trackers.guarded import Guarded
from eqssl.training.trackers.registry import require_tracker
from eqssl.training.trackers.starting import new_run

FOLDER = Path("logs/trackers")


def follow_cell(kind: str, job: PretrainJob, state: Path) -> Tracker:
    """Open the tracker of a cell: a new run, or the one that an earlier process of this training began.

    Args:
        kind: the kind of tracker.
        job: the training; its settings are the run's parameters.
        state: folder of the unfinished training. It remembers the run until the training has ended.
    """
    opens = require_tracker(kind, "machine.tracker")

    def opened() -> Tracker:
        memory = Memory(state / f"tracked-{kind}")
        name, resumed = memory.name, memory.name is not None
        if name is None:
            name = new_run(str(Path(job.folder).relative_to("results")))
            memory.begin(name)
        return Following(opens.imported()(folder(), name, parameters_of(job), resumed), memory)

    return Guarded(kind, opened)


def folder() -> Path:
    """Where the trackers of cells write; in the project itself also from a temporary workspace of DVC's."""
    return project() / FOLDER


def parameters_of(job: PretrainJob) -> Parameters:
    """The settings of a job with the keys of tables joined by dots, and lists as JSON."""
    settings = flat(job.plain())
    return {
        key: value if isinstance(value, str | int | float) else json.dumps(value) for key, value in settings
    }


class Memory:
    """A file that says which run a training belongs to, and the last step that was recorded.

    A line is added for each step, which survives `kill -9` and cannot spoil the lines before it.

    Attributes:
        name: of the run; None if none has begun.
        step: the last step that was recorded; 0 for none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        # what follows the last line break was cut off
        lines = text.split("\n")[:-1]
        self.name = lines[0] if lines else None
        self.step = max((int(line) for line in lines[1:] if line.isdecimal()), default=0)

    def begin(self, name: str) -> None:
        """Remember a new run."""
        self._path.write_text(f"{name}\n", encoding="utf-8")
        self.name, self.step = name, 0

    def advance(self, step: int) -> None:
        """Remember a step that is about to be recorded."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        self.step = step


class Following(Tracker):
    """Passes on each step once: after a kill, the steps since the checkpoint are done again.

    A step is remembered before it is recorded: a kill between the two leaves out one point of a curve, where
    the other order would draw it twice.

    Args:
        tracker: what records.
        memory: which steps have been recorded.
    """

    def __init__(self, tracker: Tracker, memory: Memory) -> None:
        self._tracker, self._memory = tracker, memory

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers of a new step."""
        if step > self._memory.step:
            self._memory.advance(step)
            self._tracker.log(numbers, step)

    def close(self, failed: bool = False) -> None:
        """Close the tracker."""
        self._tracker.close(failed)
