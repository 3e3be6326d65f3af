"""Exit codes of real processes, as docs/commands.md lists them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT, environment, eqssl, reason

from eqssl.config.jobs import cell_folder
from eqssl.config.params import Params
from eqssl.machine.provenance import cores
from eqssl.machine.slots import cpu_slots

SNAKEFILE = """
rule good:
    shell: "true"

rule bad:
    shell: "exit 3"

rule long:
    shell: "echo begun > begun; exec sleep 100"
"""


def test_a_command_that_does_its_work_ends_with_0_and_nothing_on_stderr(tmp_path: Path) -> None:
    ended = eqssl("schema", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("{")


def test_help_and_version_end_with_0(tmp_path: Path) -> None:
    for words in (["--version"], ["--help"], ["check", "--help"]):
        ended = eqssl(*words, folder=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.count("eqssl")


def test_wrong_input_ends_with_1_and_a_wrong_command_line_with_2(tmp_path: Path) -> None:
    assert "params.yaml: there is no such file in " in reason(eqssl("check", folder=tmp_path), 1)
    assert "--chek" in reason(eqssl("check", "--chek", folder=tmp_path), 2)


def test_verify_ends_with_1_where_there_is_nothing_to_verify(tmp_path: Path) -> None:
    ended = eqssl("verify", "--params", str(ROOT / "params.yaml"), folder=tmp_path)
    assert "there is nothing to verify" in reason(ended)


def test_verify_ends_with_1_and_names_what_is_damaged(tmp_path: Path) -> None:
    params = Params.load(ROOT / "params.yaml")
    record = tmp_path / cell_folder(params, params.cell) / "encoder.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    found = eqssl("verify", "--params", str(ROOT / "params.yaml"), folder=tmp_path)
    assert (found.returncode, found.stderr) == (1, "")
    assert "encoder.json" in found.stdout
    assert "files are missing or damaged" in found.stdout


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that waits for processor slots, all of which this test holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        with cpu_slots(cores()):
            command = [sys.executable, "-P", "-m", "eqssl", "export", "--encoder", "e", "--out", "o"]
            with subprocess.Popen(
                command,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env=environment(TMPDIR=str(tmp_path)),
                # a shell lets what it sends to the background ignore it, these tests and their processes too
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            ) as process:
                assert process.stderr
                assert "waiting for" in process.stderr.readline()
                yield process
                process.kill()


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGINT, 130, "eqssl: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_a_command_that_is_stopped_ends_with_the_code_of_the_signal(
    number: signal.Signals, code: int, told: str, waiting: subprocess.Popen[str]
) -> None:
    waiting.send_signal(number)
    _, text = waiting.communicate(timeout=60)
    assert (waiting.returncode, text) == (code, told)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


@pytest.mark.parametrize(("target", "code"), [("good", 0), ("bad", 1), ("nothing", 1)])
def test_run_ends_with_the_code_of_snakemake(target: str, code: int, project: Path) -> None:
    assert eqssl("run", "--cores", "1", target, folder=project).returncode == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_ends_with_the_code_of_the_signal(
    number: signal.Signals, code: int, project: Path
) -> None:
    os.mkfifo(project / "begun")
    command = [sys.executable, "-P", "-m", "eqssl", "run", "--cores", "1", "long"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=project,
        env=environment(),
        start_new_session=True,
    )
    with process:
        assert (project / "begun").read_text() == "begun\n"
        if number == signal.SIGINT:  # as a terminal sends it: to all of them
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        text, _ = process.communicate(timeout=120)
    assert process.returncode == code, text
