"""Pretraining that a tracker follows: the same bytes, every number of the log, one curve after a kill."""

from __future__ import annotations

import json
import signal
from functools import partial

import pytest
from tracked_training import killed
from tracker_readers import written

from eqssl.training import pretrain
from eqssl.training.trackers import TRACKERS
from eqssl.training.trackers.following import follow_cell

OF_THE_MOMENT = ("seconds", "images_per_second", "files", "seal")
"""What differs between two runs of one training."""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The folder of the project, in which `logs/trackers` lies."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(tmp_path, shards):
    def run(job, name, kind=None):
        follow = partial(follow_cell, kind) if kind else None
        pretrain(job, shards, tmp_path / name, "cpu", 1000.0, follow=follow)
        return tmp_path / name

    return run


def outcome(folder):
    """Everything that a training makes, without the times."""
    summary = json.loads((folder / "pretrain.json").read_text())
    files = ("encoder.safetensors", "encoder.json", "loss.csv")
    values = {key: value for key, value in summary.items() if key not in OF_THE_MOMENT}
    return values, *((folder / name).read_bytes() for name in files)


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_tracker_changes_no_byte_and_has_every_number_of_the_log(kind, trained, job, tmp_path, capfd):
    wanted = job()
    expected = outcome(trained(wanted, "plain"))
    assert not (tmp_path / "logs").exists()
    followed = trained(wanted, "followed", kind)
    assert outcome(followed) == expected
    assert "warning" not in capfd.readouterr().err
    (run,) = written(kind, tmp_path / "logs/trackers")
    assert f"results/{run.name}".startswith(f"{wanted.folder}/")
    lines = log_of(followed)
    assert run.curves.keys() == lines[0].keys() - {"step"} >= {"loss", "accuracy", "epoch", "learning_rate"}
    for name, points in run.curves.items():
        assert points == [(line["step"], pytest.approx(line[name])) for line in lines]
    settings = ("dataset", "group", "pretext", "task.task", "pretrain.optimiser")
    values = ["pictures", "C4", "mine", "supervised", "adamw"]
    assert [run.parameters[key] for key in settings] == values
    assert float(run.parameters["seed"]) == 0
    assert run.parameters["encoder.width"] == "[4, 8]"


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_killed_training_goes_on_in_the_same_run_without_a_step_twice(kind, trained, job, shards, tmp_path):
    wanted = job()
    assert killed(kind, 10, wanted, shards, tmp_path / "out") == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    folder = trained(wanted, "out", kind)
    (run,) = written(kind, tmp_path / "logs/trackers")
    steps = run.steps()
    assert steps == sorted(set(steps))
    assert {5, 10, 15} <= set(steps)
    assert run.ended == {"mlflow": "FINISHED", "wandb": "0"}.get(kind)
    last = log_of(folder)[-1]
    for name, points in run.curves.items():
        assert points[-1] == (15, pytest.approx(last[name]))


def test_a_finished_training_leaves_no_memory_and_the_next_one_is_a_new_run(trained, job, tmp_path):
    for name in ("first", "second"):
        trained(job(), name, "tensorboard")
        assert not list((tmp_path / "scratch").rglob("tracked-*"))
    first, second = written("tensorboard", tmp_path / "logs/trackers")
    assert first.steps() == second.steps()


def test_a_tracker_that_fails_does_not_disturb_the_training(trained, job, tmp_path, capfd):
    expected = outcome(trained(job(), "plain"))
    (tmp_path / "logs").write_text("no folder")
    assert outcome(trained(job(), "followed", "mlflow")) == expected
    assert capfd.readouterr().err.count("warning: tracker mlflow failed") == 1


def test_a_pretext_without_training_opens_no_run(trained, job, tmp_path):
    trained(job(task={"task": "random"}), "random", "tensorboard")
    assert not (tmp_path / "logs").exists()
