"""A tracker that never disturbs the training that it follows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from eqssl.training.trackers.base import Tracker


class Guarded(Tracker):
    """Passes everything on to a tracker. If that fails, it says so once and does nothing from then on.

    Args:
        title: names the tracker in the message.
        opened: opens the tracker; called at once.
    """

    def __init__(self, title: str, opened: Callable[[], Tracker]) -> None:
        self._title = title
        self._tracker: Tracker | None = None
        try:
            self._tracker = opened()
        except Exception as error:
            self._give_up(error)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Record numbers, unless the tracker has failed."""
        if self._tracker is not None:
            try:
                self._tracker.log(numbers, step)
            except Exception as error:
                self._give_up(error)

    def close(self, failed: bool = False) -> None:
        """Close the tracker, unless it has failed."""
        if self._tracker is not None:
            try:
                self._tracker.close(failed)
            except Exception as error:
                self._give_up(error)
            self._tracker = None

    def _give_up(self, error: Exception) -> None:
        """Warn, and let the library end what it has begun as far as it still can."""
        tracker, self._tracker = self._tracker, None
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        said = f"eqssl: warning: tracker {self._title} failed, training goes on without it: {reason}"
        print(said, file=sys.stderr, flush=True)
        if tracker is not None:
            with suppress(Exception):
                tracker.close(failed=True)
