"""What a person sees of a run: one display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
from project_copy import Project


@pytest.fixture
def one_cell(project: Project) -> Project:
    grid = {"group": ["trivial"], "pretext": ["contrastive"]}
    project.change(group="trivial", grid=grid, pretrain={"epochs": 60})
    return project


def test_a_terminal_shows_one_display_that_tells_epoch_and_loss(one_cell: Project) -> None:
    ours, theirs = pty.openpty()
    one_cell.environment |= {"TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    command = ("snakemake", "--cores", "2", "all")
    with one_cell.start(*command, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        screen = b""
        try:
            while piece := os.read(ours, 65536):
                screen += piece
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    text = screen.decode("utf-8", "replace")
    assert process.returncode == 0, text
    assert re.search(r"\d of 4 jobs, 0 of 1 cells", text)
    assert re.search(
        r"pretrain small/trivial/contrastive/s0 .*epoch \d+/60, loss \d\.\d+, [\d,]+ images/s", text
    )
    assert "rule pretrain" not in text
    assert "jobid" not in text


def test_without_a_terminal_each_finished_job_is_a_line(one_cell: Project) -> None:
    one_cell.change(pretext="random", grid={"pretext": ["random"]})
    lines = one_cell.run("snakemake", "--cores", "2", "all").splitlines()
    done = [line for line in lines if re.match(r"\[\d of 4\] ", line)]
    assert [line.split()[3] for line in done] == ["shard", "pretrain", "features", "probe"], lines
    assert len(lines) < 25, lines
    log = next((one_cell.folder / ".snakemake/log").glob("*.log")).read_text()
    assert "rule pretrain" in log
    assert "Nothing to be done" in one_cell.run("snakemake", "--cores", "2", "all")


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
