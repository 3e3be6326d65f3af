from __future__ import annotations

import threading
from pathlib import Path

import pytest

from eqssl.machine.live import state
from eqssl.machine.live.display import header
from eqssl.machine.live.progress import Position
from eqssl.machine.live.state import Run, TimeLeft, name_of

CELL = {"dataset": "tissue", "group": "D4", "pretext": "labels", "seed": "3", "cell_id": "0"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])
    return now


def planned() -> Run:
    run = Run(started=1000.0)
    run.plan({"pretrain": 4, "probe": 4, "all": 1, "total": 9})
    return run


def seconds_left(run: Run) -> float:
    left = run.time_left()
    assert left is not None
    return left.seconds


def test_a_cell_is_named_by_what_it_is() -> None:
    assert name_of(CELL) == "tissue/D4/labels/s3"
    assert name_of({"dataset": "tissue", "shard_id": "1"}) == "tissue"
    assert name_of({}) == ""


def test_jobs_and_cells_are_counted_without_steps_that_compute_nothing(clock: list[float]) -> None:
    run = planned()
    assert (run.total, run.cells) == (8, (0, 4))
    run.start(1, "pretrain", CELL, [])
    run.start(2, "all", {}, [])
    assert [job.title for job in run.running] == ["pretrain tissue/D4/labels/s3"]
    run.finish(1)
    run.finish(2)
    run.start(3, "probe", CELL, [])
    run.finish(3)
    assert (run.done(), run.cells, run.running) == (2, (1, 4), [])


def test_a_job_ends_once(clock: list[float]) -> None:
    run = planned()
    run.start(1, "pretrain", CELL, [])
    assert run.fail(1) is not None
    assert run.fail(1) is None
    assert run.finish(1) is None
    assert run.finish(7) is None
    assert run.done() == 0


def test_the_time_left_is_the_mean_of_each_step_times_what_is_to_come(clock: list[float]) -> None:
    run = planned()
    assert run.time_left() is None
    for number, rule, seconds in [(1, "pretrain", 100.0), (2, "probe", 10.0)]:
        run.start(number, rule, CELL, [])
        clock[0] += seconds
        run.finish(number)
    assert seconds_left(run) == pytest.approx(3 * 100 + 3 * 10)
    run.start(3, "pretrain", CELL, [])
    clock[0] += 40
    assert seconds_left(run) == pytest.approx(2 * 100 + 60 + 3 * 10)


def test_a_step_that_was_not_seen_yet_makes_the_time_left_a_lower_bound(clock: list[float]) -> None:
    run = planned()
    run.start(1, "pretrain", CELL, [])
    clock[0] += 100
    run.finish(1)
    assert run.time_left() == TimeLeft(pytest.approx(3 * 100), at_least=True)
    assert header(run).endswith(", at least 0:05:00 left")
    for number in range(2, 5):
        run.start(number, "pretrain", CELL, [])
        clock[0] += 100
        run.finish(number)
    assert run.time_left() is None
    run.start(5, "probe", CELL, [])
    clock[0] += 10
    run.finish(5)
    assert run.time_left() == TimeLeft(pytest.approx(3 * 10), at_least=False)
    assert header(run).endswith(", about 0:00:30 left")


def test_the_time_left_is_shared_by_as_many_jobs_as_ran_at_once(clock: list[float]) -> None:
    run = Run(started=1000.0)
    run.plan({"pretrain": 6})
    for number in range(2):
        run.start(number, "pretrain", CELL, [])
    clock[0] += 100
    for number in range(2):
        run.finish(number)
    assert seconds_left(run) == pytest.approx(4 * 100 / 2)


def test_a_failed_job_adds_nothing_to_the_time_left(clock: list[float]) -> None:
    run = Run(started=1000.0)
    run.plan({"pretrain": 3})
    for number in range(2):
        run.start(number, "pretrain", CELL, [])
        clock[0] += 100
    run.finish(1)
    run.fail(0)
    assert seconds_left(run) == pytest.approx(100 / 1.5)


def test_a_running_job_tells_the_time_left_before_any_has_ended(clock: list[float], tmp_path: Path) -> None:
    run = Run(started=1000.0)
    run.plan({"pretrain": 3})
    log = tmp_path / "log"
    run.start(1, "pretrain", CELL, [str(log)])
    assert run.time_left() is None
    clock[0] += 20
    log.write_text(Position("cell", 1, 5, "steps", "", 80.0).line + "\n")
    assert seconds_left(run) == pytest.approx(80 + 2 * 100)


def test_the_position_of_a_job_is_the_last_one_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = Run().start(1, "pretrain", CELL, [str(log)])
    assert job.position() is None
    lines = [Position("cell", step, 9000, "steps").line for step in range(9000)]
    log.write_text("\n".join(lines) + "\nsome warning\n")
    assert job.position() == Position("cell", 8999, 9000, "steps")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: 1 of 2\neqssl: error: a.tar: is truncated\nbye\n", "eqssl: error: a.tar: is truncated"),
        ("Traceback\n  File\nKeyError: 'x'\n\n", "KeyError: 'x'"),
        ("a warning\nx: 3 of 5 steps, loss 0.1\n", "a warning"),
        ("x: 3 of 5\n", "no message in its log"),
        ("", "no message in its log"),
    ],
)
def test_the_last_words_of_a_failed_job_are_its_error(tmp_path: Path, text: str, words: str) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert Run().start(1, "pretrain", CELL, [str(log)]).last_words() == words


def test_a_run_can_be_drawn_while_jobs_start(tmp_path: Path) -> None:
    """Snakemake's thread starts jobs while another one draws."""
    run = Run()
    run.plan({"pretrain": 20_000})
    faults = []

    def draw() -> None:
        while len(run.jobs) < 20_000:
            try:
                assert run.done() == 0
            except RuntimeError as error:
                faults.append(error)

    drawing = threading.Thread(target=draw)
    drawing.start()
    for number in range(20_000):
        run.start(number, "pretrain", CELL, [])
    drawing.join()
    assert faults == []
