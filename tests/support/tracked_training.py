"""A tracked training in a process that is killed right after a step was recorded, before its checkpoint."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from training_process import CONTEXT

PATIENCE = {"wandb": 1.0}
"""Seconds from the record of a step to the kill, for a library that writes from a process of its own."""


def train_and_die(kind: str, last: int, job: str, shards: str, out: str, scratch: str) -> None:
    os.environ["EQSSL_SCRATCH"] = scratch
    os.environ.pop("WANDB_SERVICE", None)  # that of the process of the tests, which would outlive this one
    os.chdir(Path(out).parent)
    from eqssl.config.jobs import PretrainJob
    from eqssl.training import pretrain
    from eqssl.training.trackers.following import follow_cell

    def follow(given, state):
        tracker = follow_cell(kind, given, state)
        tracker.log = partial(log_and_die, tracker.log)
        return tracker

    def log_and_die(log, numbers, step):
        log(numbers, step)
        if step >= last:
            time.sleep(PATIENCE.get(kind, 0.0))
            os.kill(os.getpid(), signal.SIGKILL)

    pretrain(PretrainJob.model_validate_json(job), Path(shards), Path(out), "cpu", 0.0, follow=follow)


def killed(kind, last, job, shards, out) -> int:
    """Train until the step `last` was recorded, with a checkpoint after each step. Gives the exit code."""
    arguments = (kind, last, job.json_text(), str(shards), str(out), os.environ["EQSSL_SCRATCH"])
    process = CONTEXT.Process(target=train_and_die, args=arguments)
    process.start()
    process.join(120)
    process.kill()
    return process.exitcode
