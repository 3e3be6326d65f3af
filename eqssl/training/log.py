"""What a person and a program see of a running training: a progress bar, and a file of JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_LINE_SECONDS = 10.0


class Log:
    """A file of JSON lines that survives being cut off anywhere.

    Args:
        path: the file; made if it is missing.
        step: steps done; lines of later ones are dropped, since those are about to be done again, and so are
            broken lines.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        kept = [line for line in _read_lines(path) if _step_of(line) <= step]
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one object."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")


class Show(Protocol):
    """Shows how far a loop is."""

    def __call__(
        self, step: int, epoch: int, loss: float, images_per_second: float, seconds_left: float
    ) -> None:
        """Take the newest numbers."""


@contextmanager
def progress(title: str, steps: int, epochs: int) -> Iterator[Show]:
    """A progress bar on standard error; where that is no terminal, a plain line about every ten seconds.

    Args:
        title: what runs.
        steps: in all.
        epochs: in all.
    """

    def text(epoch: int, loss: float, images_per_second: float, seconds_left: float) -> str:
        left = timedelta(seconds=round(seconds_left))
        return f"epoch {epoch}/{epochs}, loss {loss:.4f}, {images_per_second:,.0f} images/s, {left} left"

    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(step: int, epoch: int, loss: float, images_per_second: float, seconds_left: float) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_SECONDS or step == steps:
                last = time.monotonic()
                numbers = text(epoch, loss, images_per_second, seconds_left)
                print(f"{title}: {numbers}", file=sys.stderr, flush=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=steps, text="")
        yield lambda step, *numbers: bar.update(task, completed=step, text=text(*numbers))


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _step_of(line: str) -> float:
    """The step of a line; infinite for a broken one."""
    with suppress(ValueError, TypeError, KeyError):
        return float(json.loads(line)["step"])
    return float("inf")
