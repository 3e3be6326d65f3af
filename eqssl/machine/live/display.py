"""Two displays of a run: a live one on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from eqssl.machine.live.progress import Position, duration
from eqssl.machine.live.state import WHOLE, Job, Run

REFRESHES = 2
"""How many times per second the display is redrawn."""
LINE_SECONDS = 30.0
"""Time between two reports of the running jobs in plain lines."""
_BAR = 10
_WIDE = 140


def header(run: Run) -> str:
    """One line with jobs done, cells done, time spent and time left."""
    done, cells = run.cells
    left = run.time_left()
    parts = [
        f"{run.done()} of {run.total} jobs",
        f"{done} of {cells} cells" if cells else "",
        f"{duration(time.monotonic() - run.started)} so far",
        "" if left is None else f"{'at least' if left.at_least else 'about'} {duration(left.seconds)} left",
    ]
    return ", ".join(filter(None, parts))


def failure(job: Job) -> str:
    """One line about a failed job: which job, why, and the path of its log."""
    return f"{job.title} failed: {job.last_words()}" + (f" ({job.log})" if job.log else "")


def standing(job: Job, position: Position | None) -> str:
    """How far a job is: its newest numbers, or the part of its work that it is at, or how long it runs."""
    if position is None:
        return f"{duration(job.age)} so far"
    return (
        position.text if position.unit == WHOLE else f"{position.title}, {position.done} of {position.total}"
    )


def render(run: Run, width: int) -> RenderableType:
    """The display: the header, and a line with a bar for each running job.

    Args:
        run: the run.
        width: columns of the terminal; in a narrow one each job has its numbers on a second line.
    """
    names = max((len(job.title) for job in run.running), default=0)
    return Group(Text(header(run), style="bold"), *(_row(job, width, names) for job in run.running))


def _row(job: Job, width: int, names: int) -> RenderableType:
    position = job.position()
    name = Text(job.title, no_wrap=True, overflow="ellipsis")
    numbers = Text(standing(job, position), no_wrap=True, overflow="ellipsis")
    if width < _WIDE:
        row = Table.grid(Column(width=_BAR), Column(), padding=(0, 2))
        row.add_row(_bar(position), name)
        return Group(row, Padding(numbers, (0, 0, 0, 2)))
    row = Table.grid(Column(width=_BAR), Column(width=names), Column(), padding=(0, 2))
    row.add_row(_bar(position), name, numbers)
    return row


def _bar(position: Position | None) -> ProgressBar:
    if position is None:
        return ProgressBar(total=None, width=_BAR, pulse=True)
    return ProgressBar(total=max(position.total, 1), completed=position.done, width=_BAR)


class TerminalDisplay:
    """A live display. Messages appear above it, and it vanishes at the end.

    Args:
        run: the run to show.
        console: the console of standard error.
    """

    def __init__(self, run: Run, console: Console) -> None:
        self._run, self._console = run, console
        self._live: Live | None = None

    def begin(self) -> None:
        """Start to show it."""
        if self._live is None:
            self._live = Live(
                get_renderable=self._picture,
                console=self._console,
                refresh_per_second=REFRESHES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            self._console.show_cursor()  # a killed run would leave the terminal without one

    def _picture(self) -> RenderableType:
        try:
            return render(self._run, self._console.width)
        except Exception as error:  # in rich's thread: the run and the thread go on
            return Text(f"the display failed ({type(error).__name__}: {error})")

    def say(self, text: str, style: str | None = None) -> None:
        """Print a message above the display."""
        self._console.print(Text(text, style=style or ""), soft_wrap=True)

    def finished(self, job: Job) -> None:
        """Do nothing: the header counts finished jobs."""

    def end(self) -> None:
        """Remove it."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()


class PlainLines:
    """One line for each finished job, and every half minute one for each running job.

    Args:
        run: the run to show.
        console: the console of standard error.
    """

    def __init__(self, run: Run, console: Console) -> None:
        self._run, self._console = run, console
        self._last = time.monotonic()

    def begin(self) -> None:
        """Do nothing."""

    def say(self, text: str, style: str | None = None) -> None:
        """Print a message."""
        self._console.print(Text(text), soft_wrap=True)

    def finished(self, job: Job) -> None:
        """Print which job ended and how long it took."""
        if job.ended is not None:
            took = duration(job.ended - job.started)
            self.say(f"[{self._run.done()} of {self._run.total}] {job.title}, {took}")

    def tick(self) -> None:
        """Print the progress of running jobs, if the last time was half a minute ago."""
        if time.monotonic() - self._last >= LINE_SECONDS and self._run.running:
            self._last = time.monotonic()
            self.say(header(self._run))
            for job in self._run.running:
                self.say(f"  {job.title}: {standing(job, job.position())}")

    def end(self) -> None:
        """Do nothing."""
