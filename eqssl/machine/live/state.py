"""What is known of a run of Snakemake: its jobs, what they say in their logs, and the time left.

Nothing here knows Snakemake's classes or a terminal: events come in as plain values.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eqssl.machine.live.progress import Position, read_position

CELL_STEP = "probe"
"""The last step of a cell: as many cells are done as there are finished jobs of it."""
HEAVY = ("shard", "pretrain", "features", "probe")
"""Steps that compute; the others take no time worth counting."""
_TAIL = 4096  # bytes of a log that are looked at


@dataclass
class Job:
    """A job that has started.

    Attributes:
        rule: the step.
        name: what it works on: the cell, or the data set.
        log: file that it writes to; None where it has none.
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
        """How far it is, by the last line of its log that says so."""
        lines = reversed(_last_lines(self.log))
        return next(filter(None, map(read_position, lines)), None)

    def last_words(self) -> str:
        """The line of its log that says most of why it failed: eqssl's own error, else the last one."""
        lines = [line.strip() for line in _last_lines(self.log) if line.strip()]
        errors = [line for line in lines if line.startswith("eqssl: error: ")]
        return (errors or lines or ["no message in its log"])[-1]


@dataclass
class Run:
    """All jobs of a run.

    Attributes:
        counts: how many jobs of each step are planned.
        jobs: those that have started, by Snakemake's numbers.
        started: when the run began.
        cores: how many jobs may run at once, as far as it is known.
    """

    counts: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    cores: int = 1

    def plan(self, counts: Mapping[str, int]) -> None:
        """Take how many jobs of each step there are; steps that compute nothing are left out."""
        self.counts = {rule: count for rule, count in counts.items() if rule in HEAVY}

    def start(self, number: int, rule: str, wildcards: Mapping[str, str], logs: Sequence[str]) -> Job:
        """A job starts."""
        log = Path(logs[0]) if logs else None
        self.jobs[number] = Job(rule, name_of(wildcards), log, time.monotonic())
        return self.jobs[number]

    def finish(self, number: int) -> Job | None:
        """A job ended well; it is given back unless it is known to have ended."""
        return self._end(number, failed=False)

    def fail(self, number: int) -> Job | None:
        """A job failed; likewise."""
        return self._end(number, failed=True)

    def _end(self, number: int, failed: bool) -> Job | None:
        job = self.jobs.get(number)
        if job is None or job.ended is not None:
            return None
        job.ended, job.failed = time.monotonic(), failed
        return job

    @property
    def running(self) -> list[Job]:
        """Jobs that run now, those that compute first come first."""
        return [job for job in self.jobs.values() if job.ended is None and job.rule in HEAVY]

    @property
    def total(self) -> int:
        """Jobs that compute, in all."""
        return sum(self.counts.values())

    @property
    def cells(self) -> tuple[int, int]:
        """Cells that are done, and cells in all, of those that this run works on."""
        return self.done(CELL_STEP), self.counts.get(CELL_STEP, 0)

    def done(self, rule: str | None = None) -> int:
        """Jobs that ended well, of one step or of all that compute."""
        rules = HEAVY if rule is None else (rule,)
        return sum(
            job.rule in rules and job.ended is not None and not job.failed for job in self.jobs.values()
        )

    def seconds_left(self) -> float | None:
        """The time left: for each step its mean so far times the jobs to come, shared among the cores.

        None as long as a step with jobs to come has no job that ended or tells how far it is.
        """
        work = 0.0
        for rule, count in self.counts.items():
            of_rule = [job for job in self.jobs.values() if job.rule == rule and not job.failed]
            running = [(job, self._left_of(job)) for job in of_rule if job.ended is None]
            to_come = count - len(of_rule)
            means = [job.ended - job.started for job in of_rule if job.ended is not None]
            guesses = means or [_age(job) + left for job, left in running if left is not None]
            if to_come + len(running) > 0 and not guesses:
                return None
            mean = sum(guesses) / len(guesses) if guesses else 0.0
            work += to_come * mean
            work += sum(max(mean - _age(job), 0.0) if left is None else left for job, left in running)
        return work / max(1, min(self.cores, os.cpu_count() or 1))

    @staticmethod
    def _left_of(job: Job) -> float | None:
        position = job.position()
        return None if position is None else position.seconds_left


def name_of(wildcards: Mapping[str, str]) -> str:
    """A cell or a data set in words, from the wildcards of its job."""
    if "group" in wildcards:
        return "{dataset}/{group}/{pretext}/s{seed}".format(**wildcards)
    return wildcards.get("dataset", "")


def _age(job: Job) -> float:
    return time.monotonic() - job.started


def _last_lines(path: Path | None) -> list[str]:
    """The last lines of a file, of which the first may be cut; none where it cannot be read."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
