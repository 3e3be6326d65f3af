"""The lock that tells a live run from a dead one, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from project_copy import Project

# A pipeline of one slow job, that uses the project's own lock.
SNAKEFILE = """
import sys
from eqssl.machine import run
run.hold()
run.prepare(workflow.basedir)

rule all:
    output: "done"
    shell: "exec python sleeper.py {output}"
"""
# Says that it started, ends in order on SIGTERM as every command does, and takes its time otherwise.
SLEEPER = """
import pathlib, signal, sys, time
from eqssl.cli import _terminated
from eqssl.machine.run import end_with_parent
signal.signal(signal.SIGTERM, _terminated)
end_with_parent(signal.SIGTERM)
try:
    pathlib.Path("started").write_text("")
    time.sleep(float(pathlib.Path("seconds").read_text()))
    pathlib.Path(sys.argv[1]).write_text("")
finally:
    pathlib.Path("ended").write_text("")
"""


@pytest.fixture
def toy(tmp_path: Path, project: Project) -> Project:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "sleeper.py").write_text(SLEEPER)
    (folder / "seconds").write_text("60")
    return Project(folder, {"PYTHONPATH": str(project.folder)})


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def start_run(toy: Project, *before: str) -> subprocess.Popen[str]:
    process = toy.start(*before, sys.executable, "-m", "eqssl", "run", "--cores", "1", "done")
    wait_for((toy.folder / "started").exists)
    return process


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def test_a_second_run_is_refused_while_one_lives(toy: Project) -> None:
    process = start_run(toy)
    try:
        text = toy.run(sys.executable, "-m", "eqssl", "run", code=1)
        assert "a run is live in this directory (process " in text
        assert text.count("\n") == 1
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (toy.folder / "ended").exists()
    assert not (toy.folder / "done").exists()


def test_a_plain_snakemake_counts_as_a_live_run(toy: Project) -> None:
    with toy.start("snakemake", "--cores", "1", "all") as process:
        wait_for((toy.folder / "started").exists)
        assert "a run is live" in toy.run(sys.executable, "-m", "eqssl", "run", code=1)
        process.kill()


def test_the_lock_of_a_killed_run_is_cleared(toy: Project) -> None:
    process = start_run(toy)
    members = family(process)
    process.kill()
    process.communicate()
    assert list((toy.folder / ".snakemake/locks").iterdir())
    (toy.folder / "seconds").write_text("0")
    text = toy.run(sys.executable, "-m", "eqssl", "run", "done")
    assert "clearing it" in text
    assert (toy.folder / "done").exists()
    # nothing of the killed run lives on: the kernel told each process of its parent's death
    wait_for(lambda: not any(member.is_running() for member in members))
    assert (toy.folder / "ended").exists()


def test_plain_snakemake_alone_does_not_clear_it(toy: Project) -> None:
    """The control of the test above: without `eqssl run` the lock would still be in the way."""
    process = start_run(toy)
    process.kill()
    process.communicate()
    wait_for((toy.folder / "ended").exists)
    assert "LockException" in toy.run("snakemake", "--cores", "1", "all", code=1)


def test_a_killed_parent_takes_the_run_with_it_if_it_asked_for_that(toy: Project) -> None:
    script = 'EQSSL_PARENT=$$ "$@" & wait'
    process = start_run(toy, "bash", "-c", f"exec bash -c '{script}' make \"$@\"", "bash")
    members = family(process)
    assert len(members) >= 4
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(member.is_running() for member in members))


def test_a_run_in_the_background_outlives_the_shell_that_started_it(toy: Project) -> None:
    (toy.folder / "seconds").write_text("2")
    process = start_run(toy, "bash", "-c", '"$@" & wait', "bash")
    os.kill(process.pid, signal.SIGKILL)
    wait_for((toy.folder / "done").exists)
    process.communicate()


def test_the_exit_code_of_snakemake_passes_through(toy: Project) -> None:
    (toy.folder / "seconds").write_text("not a number")
    text = toy.run(sys.executable, "-m", "eqssl", "run", code=1)
    assert "could not convert string to float" in text
