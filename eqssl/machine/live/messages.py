"""Which of Snakemake's messages are shown in addition to the display."""

from __future__ import annotations

import re

_CHATTER = (
    "Assuming ",
    "Building DAG",
    "Complete log",
    "Config file ",
    "Execute ",
    "Job rate limit",
    "Provided ",
    "Rules claiming ",
    "Select jobs ",
    "Singularity containers",
    "Storing output",
    "Touching ",
    "Using shell",
    "host: ",
)
"""Beginnings of the messages of Snakemake that add nothing to the display."""
_TOLD_BY_THE_JOB = re.compile(r"(RuleException:\n)?CalledProcessError in file .*", re.DOTALL)
_AFTER_FAILURES = (
    "Exiting because a job execution failed",
    "WorkflowError:\nAt least one job did not complete successfully",
)
_REPEATED_PLACE = re.compile(r'(\n+  File "[^"\n]*", line \d+, in .*)+$')


def is_chatter(text: str) -> bool:
    """Whether a message adds nothing to the display."""
    return text.startswith(_CHATTER)


def is_stop(text: str) -> bool:
    """Whether a message says that the user stops the run, which ends its jobs."""
    return text.startswith("Terminating processes on user request")


def shortened(error: str) -> str:
    """An error without the parts that are shown elsewhere; empty if nothing is left.

    A failed job has its own line with the reason and its log, so its command is not shown again. The place of
    an error in the Snakefile is in its first line, so it is not shown again at the end.
    """
    if _TOLD_BY_THE_JOB.fullmatch(error) or error.startswith(_AFTER_FAILURES):
        return ""
    return _REPEATED_PLACE.sub("", error)
