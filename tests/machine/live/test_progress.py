from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from eqssl.machine.live import progress
from eqssl.machine.live.progress import Position, read_position, track

POSITIONS = [
    Position("a/C4/labels/s0", 3, 50, "steps", "epoch 1/5, loss 0.5000, 1,234 images/s", 47.0),
    Position("a: b", 0, 10),
    Position("decoding a train", 10, 10, "", "", 0.0),
    Position("a", 1, 10**6, "steps", "", 3 * 86400.0 + 5),
    Position("a", 1, 2, "steps", "loss 1.0"),
]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_line_of_a_log_is_read_back_as_it_was(position: Position) -> None:
    assert read_position(position.line + "\n") == position


@pytest.mark.parametrize(
    "line", ["", "eqssl: error: a.tar: 3 of 4 is missing.", "Traceback", "a/b: going on after"]
)
def test_other_lines_are_not_read_as_positions(line: str) -> None:
    assert read_position(line) is None


def test_a_log_gets_a_line_every_two_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress("a/b", 9, "steps") as show:
        for step in range(1, 10):
            now += 1
            show(step, f"loss {1 / step:.4f}", 9 - step)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a/b: 2 of 9 steps, loss 0.5000, 0:00:07 left"
    assert [line.split()[1] for line in lines] == ["2", "4", "6", "8", "9"]


def test_a_loop_passes_its_items_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", 3, "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "letters: 3 of 3, 0:00:00 left\n"


PROGRAM = """
from eqssl.machine.live.progress import progress
with progress("a/b", 10, "steps") as show:
    show(5, "epoch 1/2", 61.0)
    show(10, "epoch 2/2", 0.0)
    input()
"""


def on_a_terminal(variables: dict[str, str]) -> str:
    """What PROGRAM writes to a terminal, until it is done."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", **variables}
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    text = ""
    while "epoch 2/2" not in text:
        text += os.read(ours, 100_000).decode()
    process.communicate(b"\n")
    os.close(ours)
    assert process.returncode == 0
    return text


def test_a_terminal_gets_a_bar() -> None:
    assert "━" in on_a_terminal({})


def test_the_terminal_of_a_notebook_gets_lines_since_the_notebook_keeps_all_that_was_drawn() -> None:
    assert on_a_terminal({"JPY_PARENT_PID": "1"}).strip() == "a/b: 10 of 10 steps, epoch 2/2, 0:00:00 left"
