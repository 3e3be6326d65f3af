"""How far a job is: a bar on a terminal, and otherwise lines in its log, which the display of the run reads.

The format of such a line and its reader are both in this file:

    fashion_mnist_rot/C4/eq_labels/s0: 141 of 350 steps, epoch 3/5, loss 1.5243, 1,709 images/s, 0:00:16 left
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

T = TypeVar("T")
LINE_SECONDS = 2.0
"""Time between two lines."""

_LINE = re.compile(
    r"(?P<title>.+): (?P<done>\d+) of (?P<total>\d+)(?: (?P<unit>[a-z]+))?"
    r"(?:, (?P<detail>.+?))??(?:, (?P<left>(?:\d+ days?, )?\d+:\d\d:\d\d) left)?"
)


@dataclass(frozen=True)
class Position:
    """How far a job is.

    Attributes:
        title: what runs.
        done, total: steps, chunks, probes ...
        unit: name of the unit in the plural; "" for none.
        detail: the newest numbers in words; "" for none.
        seconds_left: time left of this loop; None if unknown.
    """

    title: str
    done: int
    total: int
    unit: str = ""
    detail: str = ""
    seconds_left: float | None = None

    @property
    def text(self) -> str:
        """All but the title."""
        unit = f" {self.unit}" if self.unit else ""
        left = "" if self.seconds_left is None else f"{duration(self.seconds_left)} left"
        return ", ".join(filter(None, [f"{self.done} of {self.total}{unit}", self.detail, left]))

    @property
    def line(self) -> str:
        """The line of a log."""
        return f"{self.title}: {self.text}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def read_position(line: str) -> Position | None:
    """The position in a line; None if the line is not about progress."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    left = None if match["left"] is None else _seconds(match["left"])
    return Position(
        match["title"],
        int(match["done"]),
        int(match["total"]),
        match["unit"] or "",
        match["detail"] or "",
        left,
    )


def _seconds(text: str) -> float:
    days, _, clock = text.rpartition(", ")
    hours, minutes, seconds = map(int, clock.split(":"))
    whole = int(days.split()[0]) if days else 0
    return 86400.0 * whole + 3600.0 * hours + 60.0 * minutes + seconds


def redraws() -> bool:
    """Whether standard error is a terminal, whose lines can be drawn anew.

    A command of a cell in a notebook (`!eqssl run`) has a terminal too, and the notebook keeps all that was
    ever drawn there.
    """
    return sys.stderr.isatty() and "JPY_PARENT_PID" not in os.environ  # set by the kernels of Jupyter


class Show(Protocol):
    """Shows how far a loop is."""

    def __call__(self, done: int, detail: str = "", seconds_left: float | None = None) -> None:
        """Take the newest numbers."""


@contextmanager
def progress(title: str, total: int, unit: str = "") -> Iterator[Show]:
    """A progress bar on standard error; a line every two seconds and at the end where nothing is redrawn.

    Args:
        title: what runs.
        total: steps in all.
        unit: what they are, in the plural.
    """
    if redraws():
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total, text="")

            def move(done: int, detail: str = "", seconds_left: float | None = None) -> None:
                position = Position(title, done, total, unit, detail, seconds_left)
                bar.update(task, completed=done, text=position.text)

            yield move
        return
    last = time.monotonic()

    def write(done: int, detail: str = "", seconds_left: float | None = None) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS or done == total:
            last = time.monotonic()
            position = Position(title, done, total, unit, detail, seconds_left)
            print(position.line, file=sys.stderr, flush=True)

    yield write


def track(items: Iterable[T], total: int, description: str, unit: str = "") -> Iterator[T]:
    """Pass items on and show how many of `total` are done, with the time left at the rate so far."""
    started = time.monotonic()
    with progress(description, total, unit) as show:
        for done, item in enumerate(items, 1):
            yield item
            show(done, "", (time.monotonic() - started) / done * (total - done))
