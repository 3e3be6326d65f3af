"""Each kind of tracker writes what it is given, where its own reader finds it, and sends nothing anywhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from tracker_readers import written

from eqssl import cli
from eqssl.config.machine import TrackerName
from eqssl.training.trackers import TRACKERS, require_tracker, start_tracker

ROOT = Path(__file__).parents[3]
PARAMETERS = {"group": "C4", "learning_rate": 0.003, "epochs": 5, "compile": False}
STEPS = (40, 80, 120)
ALL_KINDS = """
import sys
from eqssl.training.trackers import TRACKERS, start_tracker
for kind in TRACKERS:
    with start_tracker(kind, "mine", {"group": "C4"}, sys.argv[1]) as tracker:
        tracker.log({"loss": 0.5}, 10)
"""


def record(kind: str, folder: Path) -> None:
    with start_tracker(kind, "pictures/C4", PARAMETERS, folder) as tracker:
        for step in STEPS:
            tracker.log({"loss": 1 / step, "contrast/loss": 0.25, "epoch": step // 40}, step)


def break_off(kind: str, folder: Path) -> None:
    with start_tracker(kind, "mine", {}, folder) as tracker:
        tracker.log({"loss": 0.5}, 1)
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_tracker_writes_every_number_and_parameter(kind: str, tmp_path: Path, capfd):
    record(kind, tmp_path)
    assert capfd.readouterr() == ("", "")
    (run,) = written(kind, tmp_path)
    assert run.name.startswith("pictures/C4/")
    assert run.parameters.keys() == PARAMETERS.keys()
    assert run.parameters["group"] == "C4"
    assert float(run.parameters["learning_rate"]) == 0.003
    assert float(run.parameters["epochs"]) == 5
    assert run.curves.keys() == {"loss", "contrast/loss", "epoch"}
    assert run.curves["contrast/loss"] == [(step, 0.25) for step in STEPS]
    assert run.curves["epoch"] == [(40, 1), (80, 2), (120, 3)]
    assert [step for step, _ in run.curves["loss"]] == list(STEPS)
    assert [value for _, value in run.curves["loss"]] == pytest.approx([1 / step for step in STEPS])
    assert run.ended == {"mlflow": "FINISHED", "wandb": "0"}.get(kind)


@pytest.mark.parametrize("kind", TRACKERS)
def test_two_runs_of_one_name_are_two_runs(kind: str, tmp_path: Path):
    record(kind, tmp_path)
    record(kind, tmp_path)
    first, second = written(kind, tmp_path)
    assert first.name != second.name
    assert first.steps() == second.steps() == list(STEPS)


def test_an_error_in_the_loop_marks_the_run_as_ended_early(tmp_path: Path):
    for kind, ended in (("mlflow", "KILLED"), ("wandb", "1")):
        with pytest.raises(ZeroDivisionError):
            break_off(kind, tmp_path)
        (run,) = written(kind, tmp_path)
        assert (run.ended, run.steps()) == (ended, [1])


def test_runs_of_mlflow_that_begin_at_once_share_one_experiment(tmp_path: Path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, ["mlflow"] * 4, [tmp_path] * 4))
    assert [run.steps() for run in written("mlflow", tmp_path)] == [list(STEPS)] * 4


def test_nothing_is_sent_and_nothing_is_said(tmp_path: Path):
    """Every library is told to go through a proxy, at whose door nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        online = {"WANDB_MODE": "online", "WANDB_API_KEY": "0" * 40, "DVC_STUDIO_TOKEN": "isat_x"}
        studio = {"DVC_STUDIO_REPO_URL": "git@example.org:a/b.git"}
        unset = ("WANDB_SERVICE", "NO_PROXY", "no_proxy", "CI", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
        rest = {key: value for key, value in os.environ.items() if key not in unset}
        environment = {**rest, **proxies, **online, **studio, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", ALL_KINDS, str(tmp_path / "out")]
        result = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert (result.stdout, result.stderr) == ("", "")
        assert [len(written(kind, tmp_path / "out")) for kind in TRACKERS] == [1] * len(TRACKERS)
        with pytest.raises(BlockingIOError):
            door.accept()
        with pytest.MonkeyPatch.context() as patch:  # the door would hear of a request
            patch.setenv("http_proxy", address)
            patch.delenv("no_proxy", raising=False)
            with pytest.raises((URLError, TimeoutError)):
                urlopen("http://example.org", timeout=0.1)
        door.accept()[0].close()


def test_dvclive_touches_neither_git_nor_dvc(tmp_path: Path, monkeypatch):
    """Also where it thinks that `dvc exp run` is running, in which case its own end adds files to git."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    run("git", "init", "-q")
    run(str(Path(sys.executable).parent / "dvc"), "init", "-q")
    run("git", "add", "-A")
    run("git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "start")
    before = run("git", "for-each-ref"), run("git", "rev-parse", "HEAD")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", before[1].strip())
    monkeypatch.setenv("DVC_EXP_NAME", "trial")
    record("dvclive", tmp_path / "out")
    assert written("dvclive", tmp_path / "out")[0].steps() == list(STEPS)
    assert run("git", "status", "--porcelain") == "?? out/\n"
    assert (run("git", "for-each-ref"), run("git", "rev-parse", "HEAD")) == before
    assert not list(tmp_path.rglob("dvc.yaml"))


def test_the_setting_and_the_registry_name_the_same_trackers():
    assert set(get_args(TrackerName)) == {"none", *TRACKERS}


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_missing_library_is_one_sentence_with_the_command(kind: str, monkeypatch):
    monkeypatch.setitem(sys.modules, TRACKERS[kind].package, None)
    with pytest.raises(ValueError) as error:
        require_tracker(kind, "machine.tracker")
    assert str(error.value) == (
        f"machine.tracker: given {kind}, but {TRACKERS[kind].package} is not installed: "
        "pip install 'eqssl[trackers]'"
    )


def test_an_unknown_tracker_is_refused_with_those_that_there_are(tmp_path: Path):
    with pytest.raises(ValueError, match=r"kind: given 'comet', allowed: .*mlflow"):
        start_tracker("comet", "mine", {}, tmp_path)


def test_the_command_stops_without_the_library_before_it_reads_anything(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    words = ["pretrain", "--job", "{}", "--shards", "s", "--out", "o", "--tracker", "mlflow"]
    assert cli.main(words) == 1
    assert capsys.readouterr().err == (
        "eqssl: error: --tracker: given mlflow, but mlflow is not installed: pip install 'eqssl[trackers]'\n"
    )
