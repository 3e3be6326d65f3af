"""What every tracker can do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

Parameters = Mapping[str, str | int | float | bool]
"""Names and values that hold for a whole run."""


class Tracker(Protocol):
    """One run in the records of a tracking program. Used in a `with` block, it is closed at the end."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers.

        Args:
            numbers: by their names. A slash in a name groups it, as in `contrast/loss`.
            step: steps done; grows from call to call.
        """

    def close(self, failed: bool = False) -> None:
        """Write what is left and mark the run as ended.

        Args:
            failed: whether the training ended before its last step.
        """

    def __enter__(self) -> Self:
        """The tracker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the tracker."""
        self.close(failed=kind is not None)


class OpensRun(Protocol):
    """A class of trackers.

    Args:
        folder: where trackers write; each kind has its own folder in it.
        name: of the run; slashes in it group runs.
        parameters: what holds for the whole run.
        resumed: whether the run of that name is continued, if there is one.
    """

    def __call__(self, folder: Path, name: str, parameters: Parameters, resumed: bool) -> Tracker:
        """Open a run."""
