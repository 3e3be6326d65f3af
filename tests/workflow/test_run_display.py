"""What a user sees of a run: one display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from threading import Timer

import pytest
from project_copy import Project


@pytest.fixture
def one_cell(project: Project) -> Project:
    grid = {"group": ["trivial"], "pretext": ["contrastive"]}
    project.change(group="trivial", grid=grid)
    return project


SEEN = r"pretrain small/trivial/contrastive/s0 .*epoch \d+/100000, loss \d\.\d+, [\d,]+ images/s"


def test_a_terminal_shows_one_display_that_tells_epoch_and_loss(one_cell: Project) -> None:
    one_cell.change(pretrain={"epochs": 100_000})  # it is stopped: no machine ends it before it is seen
    ours, theirs = pty.openpty()
    one_cell.environment |= {"TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    command = (sys.executable, "-m", "eqssl", "run", "--cores", "2", "all")
    with one_cell.start(*command, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        limit = Timer(120, process.kill)
        limit.start()
        screen, stopped = "", False
        with suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 65536):
                screen += piece.decode("utf-8", "replace")
                if not stopped and re.search(SEEN, screen):
                    stopped = True
                    process.send_signal(signal.SIGTERM)
    os.close(ours)
    limit.cancel()
    assert stopped, screen
    assert re.search(r"\d of 4 jobs, 0 of 1 cells", screen)
    assert "pretrain small/trivial/contrastive/s0 stopped" in screen
    assert "rule pretrain" not in screen
    assert "jobid" not in screen


def test_without_a_terminal_each_finished_job_is_a_line(first_run: tuple[Project, str]) -> None:
    project, text = first_run
    lines = text.splitlines()
    done = [line for line in lines if re.match(r"\[\d+ of 10\] ", line)]
    steps = Counter(line.split("] ")[1].split()[0] for line in done)
    assert steps == {"shard": 1, "pretrain": 3, "features": 3, "probe": 3}, lines
    assert len(lines) < 60, lines
    assert "jobid" not in text
    log = next((project.folder / ".snakemake/log").glob("*.log")).read_text()
    assert "rule pretrain" in log


def test_a_dry_run_is_snakemakes_own_text_on_standard_output(one_cell: Project) -> None:
    with one_cell.start("snakemake", "-n", "all", stderr=subprocess.DEVNULL) as process:
        text, _ = process.communicate(timeout=120)
    assert "rule pretrain" in text
    assert "Job stats" in text


WITHOUT_PLUGIN = """
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
del LoggerPluginRegistry().plugins["eqssl"]
from snakemake.cli import main
main(["-n", "all"])
"""


def test_a_snakemake_without_the_plugin_runs_with_its_own_text(one_cell: Project) -> None:
    text = one_cell.run(sys.executable, "-c", WITHOUT_PLUGIN)
    assert "rule pretrain" in text


def test_the_display_can_be_switched_off(one_cell: Project) -> None:
    one_cell.change(pretext="random", grid={"pretext": ["random"]})
    text = one_cell.run(
        "snakemake", "--logger-eqssl-display", "snakemake", "--cores", "2", "--until", "shard"
    )
    assert "rule shard" in text
