"""Settings of fine-tunings that take a second, and a process that is killed in one."""

import os
import signal
from pathlib import Path

from eqssl.config.finetuning import FinetuneSettings
from eqssl.config.jobs import FinetuneJob


def settings(**changes):
    values = {
        "shares": [10, 100],
        "draws": 2,
        "epochs": 3,
        "least_steps": 4,
        "batch_size": 32,
        "learning_rate": 0.003,
        "head_learning_rate": 0.02,
        "weight_decay": 0.01,
        "warmup": 0.25,
        "bootstrap": 100,
        "seed": 0,
    }
    return FinetuneSettings.read({**values, **changes})


def job(params, views=("stored", "grid", "angle"), **changes):
    return FinetuneJob(finetune=settings(**changes), views=params.views, test_views=views, test_seed=0)


def killed(job, shards, encoder, out, scratch, when, number):
    """Fine-tune, and kill this process when a function of the loop is called for the n-th time.

    Args:
        job: the job as JSON.
        shards, encoder, out, scratch: folders.
        when: name of the function in `eqssl.evaluation.tuning` or `eqssl.training.checkpoints`; it is done
            before the process dies.
        number: n.
    """
    os.environ["EQSSL_SCRATCH"] = scratch
    from eqssl.evaluation import finetuning, tuning
    from eqssl.training import checkpoints

    module = checkpoints if when == "save" else tuning
    original, calls = getattr(module, when), 0

    def counted(*arguments, **options):
        nonlocal calls
        found = original(*arguments, **options)
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(module, when, counted)
    if hasattr(finetuning, when):
        setattr(finetuning, when, counted)
    finetuning.finetune(FinetuneJob.model_validate_json(job), shards, encoder, Path(out), "cpu")
