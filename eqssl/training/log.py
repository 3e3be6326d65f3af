"""The numbers of a training as a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from eqssl.machine.files import write_text
from eqssl.machine.naming import naming


class Log:
    """A file of JSON lines that survives being cut off anywhere.

    Args:
        path: the file; made if it is missing.
        step: steps done. Lines of later steps are dropped, because these steps will be done again. Broken
            lines are dropped too.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        kept = [line for line in _read_lines(path) if _step_of(line) <= step]
        with naming(path):
            write_text(path, "".join(f"{line}\n" for line in kept))

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one object."""
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _step_of(line: str) -> float:
    """The step of a line; infinite for a broken one."""
    with suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return float(json.loads(line)["step"])
    return float("inf")
