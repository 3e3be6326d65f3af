"""Snakemake's records in, text out: the logger plugin as Snakemake uses it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from eqssl.machine.live.handler import LogHandler, LogHandlerSettings

PLAN = "Job stats:\njob  count\nshard  1\n"
FAULTY = {"event": LogEvent.JOB_FINISHED}  # a finished job without its number


def handler(display: str = "cells", **settings: Any) -> LogHandler:
    made = LogHandler(OutputSettings(**settings), LogHandlerSettings(display))
    made.setFormatter(logging.Formatter())
    return made


def record(text: str, level: int = logging.INFO, **told: Any) -> logging.LogRecord:
    name = logging.getLevelName(level)
    return logging.makeLogRecord({"msg": text, "levelno": level, "levelname": name, **told})


def plan() -> logging.LogRecord:
    return record(PLAN, event=LogEvent.RUN_INFO, stats={"shard": 1, "total": 1})


def test_a_fault_of_the_display_is_told_once_and_snakemakes_text_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = handler()
    shown.emit(plan())
    shown.emit(record("Select jobs to execute..."))
    shown.emit(record("", **FAULTY))
    shown.emit(record("", **FAULTY))
    shown.emit(record("Select jobs to execute..."))
    shown.close()
    text = capsys.readouterr().err
    assert text.count("eqssl: the display failed (AttributeError: ") == 1
    assert text.count("Select jobs to execute...") == 1
    assert "Traceback" not in text


def test_a_failed_job_is_told_by_its_own_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler()
    shown.emit(plan())
    cell = {"wildcards": {"dataset": "small"}, "log": ["none.log"]}
    shown.emit(record("", event=LogEvent.JOB_INFO, jobid=1, rule_name="shard", **cell))
    command = "RuleException:\nCalledProcessError in file \"a.smk\", line 25:\nCommand 'false' returned 1."
    shown.emit(record(command, logging.ERROR, event=LogEvent.ERROR))
    shown.emit(record("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=1, **cell))
    shown.emit(record("Exiting because a job execution failed. Look above", logging.ERROR))
    shown.emit(record("WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR))
    shown.close()
    text = capsys.readouterr().err.removeprefix(PLAN).strip()
    assert text == "shard small failed: no message in its log (none.log)"


def test_jobs_that_the_user_stops_have_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler()
    shown.emit(plan())
    told = {"jobid": 1, "rule_name": "shard", "wildcards": {"dataset": "small"}, "log": []}
    shown.emit(record("", event=LogEvent.JOB_INFO, **told))
    shown.emit(record("Terminating processes on user request, this might take some time."))
    shown.emit(record("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, **told))
    shown.close()
    lines = capsys.readouterr().err.removeprefix(PLAN).strip().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "Terminating processes on user request",
        "shard small stopped",
    ]


def test_an_error_of_the_settings_is_one_block(capsys: pytest.CaptureFixture[str]) -> None:
    block = 'WorkflowError in file "a.smk", line 25:\nseed: given x\nallowed: a number'
    handler().emit(record(f'{block}\n  File "a.smk", line 25, in <module>', logging.ERROR))
    assert capsys.readouterr().err == f"{block}\n"


@pytest.mark.parametrize(
    "asked", [{"verbose": True}, {"printshellcmds": True}, {"debug_dag": True}, {"display": "snakemake"}]
)
def test_snakemakes_own_text_is_shown_to_those_who_ask_for_it(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    handler(**asked).emit(record("Building DAG of jobs..."))
    assert capsys.readouterr().err == "Building DAG of jobs...\n"


def test_a_dry_run_is_on_standard_output_as_snakemakes_own(capsys: pytest.CaptureFixture[str]) -> None:
    handler(dryrun=True, stdout=True).emit(record("Building DAG of jobs..."))
    assert capsys.readouterr() == ("Building DAG of jobs...\n", "")
