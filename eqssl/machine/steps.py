"""Which code each step of the pipeline runs: one answer for the workflow, for checkpoints and for records.

A step is out of date when its digest changes. A registry imports by name, so settings name the modules of
their kind, and a sum of pretexts those of its parts.
"""

from __future__ import annotations

from eqssl.config.jobs import DataPageJob, PretrainJob
from eqssl.config.sources import SourceSettings
from eqssl.machine.code import code_digest


def shard_code(source: SourceSettings) -> str:
    """Digest of the code that writes a data set's shards."""
    return code_digest("eqssl.data.shards.writing", *source.modules())


def cell_code(job: PretrainJob) -> str:
    """Digest of the code that decides a cell: its training, its encoder and its pretext with all parts."""
    return code_digest(
        "eqssl.training.pretraining",
        "eqssl.evaluation.pretext_accuracy",
        *job.encoder.modules(),
        *job.task.modules(),
    )


def features_code(*modules: str) -> str:
    """Digest of the code that extracts features and measures equivariance.

    Args:
        modules: the modules of the encoder.
    """
    return code_digest("eqssl.evaluation.features", *modules)


def probe_code() -> str:
    """Digest of the code that fits probes and computes metrics."""
    return code_digest("eqssl.evaluation.probing")


def finetune_code(*modules: str) -> str:
    """Digest of the code that fine-tunes encoders.

    Args:
        modules: the modules of the encoder.
    """
    return code_digest("eqssl.evaluation.finetuning", *modules)


def publish_code() -> str:
    """Digest of the code that copies the active cell."""
    return code_digest("eqssl.machine.store")


def summary_code() -> str:
    """Digest of the code that writes the table of the grid."""
    return code_digest("eqssl.evaluation.summary")


def transfer_table_code() -> str:
    """Digest of the code that writes the table of transfers."""
    return code_digest("eqssl.evaluation.transfer_table")


def report_code() -> str:
    """Digest of the code that draws the report."""
    return code_digest("eqssl.report")


def data_page_code(job: DataPageJob) -> str:
    """Digest of the code that draws the page of a data set, with that of the tasks that it shows."""
    tasks = [module for drawn in job.tasks for module in drawn.task.modules()]
    return code_digest("eqssl.report.data_page", *tasks)
