from __future__ import annotations

import io
import time
from pathlib import Path

from rich.console import Console

from eqssl.machine.live import display
from eqssl.machine.live.display import PlainLines, TerminalDisplay, failure, render
from eqssl.machine.live.progress import Position
from eqssl.machine.live.state import Run

CELL = {"dataset": "tissue", "group": "D4", "pretext": "labels", "seed": "3"}
STEP = Position("tissue/D4/labels/s3", 20, 80, "steps", "epoch 1/4, loss 1.2500, 99 images/s", 60.0)


def running(folder: Path) -> Run:
    run = Run()
    run.plan({"pretrain": 3, "probe": 3})
    log = folder / "log"
    log.write_text(STEP.line + "\n")
    run.start(1, "pretrain", CELL, [str(log)])
    run.start(2, "probe", CELL, [])
    return run


def shown(run: Run, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(run, width))
    return console.file.getvalue()


def test_the_display_says_how_far_each_running_job_and_the_run_are(tmp_path: Path) -> None:
    text = shown(running(tmp_path), 160)
    assert "0 of 6 jobs, 0 of 3 cells" in text
    first = next(line for line in text.splitlines() if "pretrain tissue/D4/labels/s3" in line)
    assert "20 of 80 steps, epoch 1/4, loss 1.2500, 99 images/s, 0:01:00 left" in first
    assert "probe tissue/D4/labels/s3" in text


def test_a_narrow_terminal_shows_the_numbers_of_a_job_below_its_name(tmp_path: Path) -> None:
    lines = shown(running(tmp_path), 84).splitlines()
    name = next(number for number, line in enumerate(lines) if "pretrain tissue/D4/labels/s3" in line)
    assert STEP.text in lines[name + 1]


def test_a_part_of_a_job_is_named_and_tells_no_time_left_of_the_job(tmp_path: Path) -> None:
    run = running(tmp_path)
    part = Position("decoding tissue train", 3, 4, seconds_left=0.0)
    (tmp_path / "log").write_text(part.line + "\n")
    line = next(line for line in shown(run, 160).splitlines() if "pretrain" in line)
    assert "decoding tissue train, 3 of 4" in line
    assert "left" not in line
    assert run.running[0].seconds_left() is None


def test_a_failure_is_one_line_with_the_path_of_the_log(tmp_path: Path) -> None:
    run = running(tmp_path)
    (tmp_path / "log").write_text("eqssl: error: a.tar: is truncated\n")
    job = run.fail(1)
    assert job is not None
    line = failure(job)
    assert line == (
        f"pretrain tissue/D4/labels/s3 failed: eqssl: error: a.tar: is truncated ({tmp_path / 'log'})"
    )


def test_messages_stand_above_the_display_and_it_is_taken_away(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    screen = TerminalDisplay(running(tmp_path), console)
    screen.begin()
    screen.begin()
    screen.say("a warning [with brackets]")
    screen.end()
    screen.end()
    text = console.file.getvalue()
    assert "a warning [with brackets]" in text
    assert "0 of 6 jobs" in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_a_run_killed_while_it_is_shown_leaves_the_cursor(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    screen = TerminalDisplay(running(tmp_path), console)
    screen.begin()
    time.sleep(1.0)
    text = console.file.getvalue()
    screen.end()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_plain_lines_tell_finished_jobs_and_now_and_then_the_running_ones(tmp_path: Path) -> None:
    run = running(tmp_path)
    console = Console(file=io.StringIO(), width=100)
    lines = PlainLines(run, console)
    lines.tick()
    job = run.finish(2)
    assert job is not None
    lines.finished(job)
    lines._last = time.monotonic() - display.LINE_SECONDS
    lines.tick()
    lines.tick()
    text = console.file.getvalue().splitlines()
    assert text[0] == "[1 of 6] probe tissue/D4/labels/s3, 0:00:00"
    assert text[1].startswith("1 of 6 jobs, 1 of 3 cells")
    assert text[2:] == [f"  pretrain tissue/D4/labels/s3: {STEP.text}"]
