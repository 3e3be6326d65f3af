"""Where a package is not installed, one line says how to install it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from commands import ROOT, eqssl, reason, without

from eqssl.machine.packages import missing

ESCNN = "escnn is not installed: pip install --no-deps escnn==1.0.11"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "Snakefile").write_text("rule good:\n    shell: 'true'\n")
    (folder / "pictures").mkdir()
    return folder


@pytest.mark.parametrize(
    ("hidden", "words", "told"),
    [
        ("snakemake", "run", "snakemake is not installed: pip install 'eqssl[workflow]'"),
        ("escnn", "run", ESCNN),
        ("dvc", "adopt tried", "dvc is not installed: pip install 'eqssl[workflow]'"),
        ("dvc", "compare a b", "dvc is not installed: pip install 'eqssl[workflow]'"),
        ("h5py", "init x.h5", "x.h5: h5py is not installed: pip install 'eqssl[hdf5]'"),
        (
            "datasets",
            "init pictures --source hub",
            "pictures: datasets is not installed: pip install 'eqssl[hub]'",
        ),
    ],
)
def test_one_line_says_what_to_install(hidden: str, words: str, told: str, project: Path) -> None:
    (project / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    ended = eqssl(*words.split(), folder=project, **without(project.parent / "hidden", hidden))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"eqssl: error: {told}")
    assert "--set" not in line


def test_a_job_that_trains_names_the_command_that_installs_escnn(shards: Path, job, tmp_path: Path) -> None:
    words = ["pretrain", "--job", job().json_text(), "--shards", str(shards), "--out", str(tmp_path / "o")]
    hidden = without(tmp_path / "hidden", "escnn")
    assert reason(eqssl(*words, "--device", "cpu", folder=tmp_path, **hidden)) == ESCNN
    assert not (tmp_path / "o").exists()


def test_a_dry_run_and_jobs_in_another_environment_need_no_escnn(project: Path) -> None:
    hidden = without(project.parent / "hidden", "escnn")
    for words in (["-n"], ["--use-envmodules", "good"]):
        ended = eqssl("run", *words, folder=project, **hidden)
        assert ended.returncode == 0, ended.stderr


def test_the_version_of_escnn_is_that_of_the_lock() -> None:
    locked = re.search(r"^escnn==\S+", (ROOT / "requirements-no-deps.lock").read_text(), re.MULTILINE)
    assert locked
    assert missing("escnn") == ESCNN
    assert ESCNN.endswith(f" {locked[0]}")
