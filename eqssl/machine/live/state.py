"""The state of a run of Snakemake: its jobs, their progress according to their logs, and the time left.

This module uses neither Snakemake's classes nor a terminal; events are plain values.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from eqssl.config.grid import short_name
from eqssl.machine.live.progress import Position, read_position

CELL_STEP = "probe"
"""The last step of a cell: the number of its finished jobs is the number of finished cells."""
HEAVY = ("shard", "pretrain", "features", "finetune", "transfer", "probe", "transfer_probe")
"""Steps that compute; the time of the others is negligible."""
WHOLE = "steps"
"""What the loop counts that is all of a job's work, training; other loops are a part of theirs."""
_TAIL = 4096  # how many bytes at the end of a log are read


@dataclass
class Job:
    """A job that has started.

    Attributes:
        rule: the step.
        name: its cell or data set.
        log: its log file; None if it has none.
        started, ended: times; `ended` is None while it runs.
        failed: whether it ended with an error.
    """

    rule: str
    name: str
    log: Path | None
    started: float
    ended: float | None = None
    failed: bool = False

    @property
    def title(self) -> str:
        """Step and name."""
        return f"{self.rule} {self.name}".strip()

    def position(self) -> Position | None:
        """Its progress, from the last line of its log that reports it."""
        lines = reversed(_last_lines(self.log))
        return next(filter(None, map(read_position, lines)), None)

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.started

    def seconds_left(self) -> float | None:
        """The time left that the job reports; None unless it is in the loop that is all of its work."""
        position = self.position()
        return position.seconds_left if position is not None and position.unit == WHOLE else None

    def last_words(self) -> str:
        """Why it failed: eqssl's last error in its log, else the last line that is not about progress."""
        lines = [line.strip() for line in _last_lines(self.log) if line.strip()]
        errors = [line for line in lines if line.startswith("eqssl: error: ")]
        others = [line for line in lines if read_position(line) is None]
        return (errors or others or ["no message in its log"])[-1]


class TimeLeft(NamedTuple):
    """The time left of a run.

    Attributes:
        seconds: the time.
        at_least: whether a step is left out, because none of its jobs has been seen yet.
    """

    seconds: float
    at_least: bool


@dataclass
class Run:
    """All jobs of a run.

    Attributes:
        counts: how many jobs of each step are planned.
        jobs: the jobs that have started, by Snakemake's numbers.
        started: when the run began.
    """

    counts: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def plan(self, counts: Mapping[str, int]) -> None:
        """Set how many jobs each step has; steps outside `HEAVY` are left out."""
        self.counts = {rule: count for rule, count in counts.items() if rule in HEAVY}

    def start(self, number: int, rule: str, wildcards: Mapping[str, str], logs: Sequence[str]) -> Job:
        """Add a job that starts."""
        log = Path(logs[0]) if logs else None
        self.jobs[number] = Job(rule, name_of(wildcards), log, time.monotonic())
        return self.jobs[number]

    def finish(self, number: int) -> Job | None:
        """Mark a job as finished. Returns it, or None if it had already ended."""
        return self._end(number, failed=False)

    def fail(self, number: int) -> Job | None:
        """Mark a job as failed. Returns it, or None if it had already ended."""
        return self._end(number, failed=True)

    def _end(self, number: int, failed: bool) -> Job | None:
        job = self.jobs.get(number)
        if job is None or job.ended is not None:
            return None
        job.ended, job.failed = time.monotonic(), failed
        return job

    @property
    def _started(self) -> list[Job]:
        """A copy: a thread draws while another one adds jobs."""
        return list(self.jobs.values())

    @property
    def running(self) -> list[Job]:
        """The jobs in `HEAVY` that run now, in the order in which they started."""
        return [job for job in self._started if job.ended is None and job.rule in HEAVY]

    @property
    def total(self) -> int:
        """How many jobs compute, in total."""
        return sum(self.counts.values())

    @property
    def cells(self) -> tuple[int, int]:
        """How many cells of this run are finished, and how many it has in total."""
        return self.done(CELL_STEP), self.counts.get(CELL_STEP, 0)

    def done(self, rule: str | None = None) -> int:
        """How many jobs are finished, of one step or of all that compute."""
        rules = HEAVY if rule is None else (rule,)
        return sum(job.rule in rules and job.ended is not None and not job.failed for job in self._started)

    def time_left(self) -> TimeLeft | None:
        """For each step, its mean time so far times the jobs to come; all that over the jobs at once.

        A step with jobs to come, of which none has finished or reports its time left, is not in the sum.
        None if that is so of all steps that have jobs to come.
        """
        works = [self._work(rule, count) for rule, count in self.counts.items()]
        known, unseen = sum(filter(None, works)), None in works
        return None if unseen and not known else TimeLeft(known / self._at_once(), at_least=unseen)

    def _work(self, rule: str, count: int) -> float | None:
        """Seconds of work that is left in the jobs of a step; None if nothing tells."""
        of_rule = [job for job in self._started if job.rule == rule]
        running = [(job, job.seconds_left()) for job in of_rule if job.ended is None]
        to_come = count - len(of_rule)
        means = [job.ended - job.started for job in of_rule if job.ended is not None and not job.failed]
        guesses = means or [job.age + left for job, left in running if left is not None]
        if not guesses:
            return None if to_come + len(running) > 0 else 0.0
        mean = sum(guesses) / len(guesses)
        return to_come * mean + sum(
            max(mean - job.age, 0.0) if left is None else left for job, left in running
        )

    def _at_once(self) -> float:
        """The mean number of jobs that ran at the same time, at least 1: cores, GPUs and queues decide it."""
        now = time.monotonic()
        jobs = [job for job in self._started if job.rule in HEAVY]
        busy = sum((now if job.ended is None else job.ended) - job.started for job in jobs)
        return max(1.0, busy / max(now - self.started, 1e-9)) if jobs else 1.0


def name_of(wildcards: Mapping[str, str]) -> str:
    """The name of a cell, with the target of a transfer, or of a data set, from the wildcards of its job."""
    if "group" in wildcards:
        cell = short_name(wildcards)
        return f"{cell} on {wildcards['target']}" if "target" in wildcards else cell
    return wildcards.get("dataset", "")


def _last_lines(path: Path | None) -> list[str]:
    """The last lines of a file, the first of which may be cut off; none if the file cannot be read."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
