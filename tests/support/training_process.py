"""Training in a process that can be killed: forked from a server that has imported everything, so quickly."""

import multiprocessing
import os
import signal
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "eqssl.training.pretraining",
        "eqssl.pretexts.joint.simclr",
        "eqssl.pretexts.supervised",
        "eqssl.symmetry._escnn",
        "torch._dynamo",  # the first optimiser of a process imports it, which takes as long as all others
    ]
)


def train(job, shards, out, seconds, scratch, errors, last):
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ["EQSSL_SCRATCH"] = scratch
    from eqssl.config.jobs import PretrainJob
    from eqssl.training import pretrain
    from eqssl.training.loop import Trainer

    save = Trainer.save

    def save_and_die(trainer, path):
        save(trainer, path)
        if trainer.step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    if last is not None:
        Trainer.save = save_and_die
    pretrain(PretrainJob.model_validate_json(job), Path(shards), Path(out), "cpu", seconds)


class Training:
    """A training in a separate process.

    With `last` it is killed right after the checkpoint of that step.
    """

    def __init__(self, job, shards, out, seconds, last=None):
        self.errors = Path(f"{out}.stderr")
        arguments = (
            job.json_text(),
            str(shards),
            str(out),
            seconds,
            os.environ["EQSSL_SCRATCH"],
            str(self.errors),
            last,
        )
        self.process = CONTEXT.Process(target=train, args=arguments)
        self.process.start()

    def said(self):
        return self.errors.read_text() if self.errors.exists() else ""

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self):
        """The exit code."""
        self.process.join(60)
        return self.process.exitcode
