"""A tracker that fails says so once; the loop that it follows never hears of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tracker_readers import written

from eqssl.training.trackers import start_tracker
from eqssl.training.trackers.following import Following, Memory
from eqssl.training.trackers.tensorboard import TensorBoard


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow", "wandb", "dvclive"])
def test_a_run_that_cannot_be_opened_is_one_warning(kind: str, tmp_path: Path, capfd):
    place = tmp_path / "out"
    place.write_text("no folder")
    with start_tracker(kind, "mine", {}, place) as tracker:
        tracker.log({"loss": 0.5}, 1)
        tracker.log({"loss": 0.4}, 2)
    said = capfd.readouterr().err
    assert said.startswith(f"eqssl: warning: tracker {kind} failed, training goes on without it: ")
    assert said.count("\n") == 1
    assert place.read_text() == "no folder"


@pytest.mark.parametrize("kind", ["mlflow", "dvclive"])
def test_a_run_that_fails_on_the_way_is_one_warning(kind: str, tmp_path: Path, capfd):
    place = tmp_path / "out"
    with start_tracker(kind, "mine", {}, place) as tracker:
        tracker.log({"loss": 0.5}, 1)
        assert capfd.readouterr().err == ""
        shutil.rmtree(place)
        place.write_text("no folder")
        tracker.log({"loss": 0.4}, 2)
        tracker.log({"loss": 0.3}, 3)
    said = capfd.readouterr().err
    assert said.startswith(f"eqssl: warning: tracker {kind} failed, training goes on without it: ")
    assert said.count("\n") == 1


def test_a_memory_knows_the_run_and_its_last_whole_line(tmp_path: Path):
    path = tmp_path / "tracked"
    memory = Memory(path)
    assert (memory.name, memory.step) == (None, 0)
    memory.begin("pictures/1")
    for step in (5, 10):
        memory.advance(step)
    with path.open("a") as file:
        file.write("15")  # cut off
    again = Memory(path)
    assert (again.name, again.step) == ("pictures/1", 10)
    path.write_text("pictu")
    assert Memory(path).name is None


def test_steps_that_are_done_again_are_recorded_once(tmp_path: Path):
    def follow(steps: list[int], resumed: bool) -> None:
        tracker = TensorBoard(tmp_path, "run", {}, resumed)
        with Following(tracker, Memory(tmp_path / "tracked")) as following:
            for step in steps:
                following.log({"loss": 1.0}, step)

    Memory(tmp_path / "tracked").begin("run")
    follow([5, 10, 12], resumed=False)
    follow([8, 10, 11, 15], resumed=True)
    follow([13, 20], resumed=True)
    (run,) = written("tensorboard", tmp_path)
    assert run.steps() == [5, 10, 12, 15, 20]
