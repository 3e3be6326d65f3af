"""The numbers of a training as a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqssl.machine.files import write_text
from eqssl.machine.naming import naming

if TYPE_CHECKING:
    from eqssl.training.trackers.base import Tracker


class Log:
    """A file of JSON lines that survives being cut off anywhere.

    Args:
        path: the file; made if it is missing.
        step: steps done. Lines of later steps are dropped, because these steps will be done again. Broken
            lines are dropped too.
        tracker: is given the numbers of each line as well.
    """

    def __init__(self, path: Path, step: int, tracker: Tracker | None = None) -> None:
        self._path, self._tracker = path, tracker
        kept = [line for line in _read_lines(path) if _step_of(line) <= step]
        with naming(path):
            write_text(path, "".join(f"{line}\n" for line in kept))

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one object, which has a `step`."""
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")
        if self._tracker:
            numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
            del numbers["step"]
            self._tracker.log(numbers, values["step"])


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _step_of(line: str) -> float:
    """The step of a line; infinite for a broken one."""
    with suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return float(json.loads(line)["step"])
    return float("inf")
