"""Stop a loop: SIGTERM and SIGINT are noted, and the loop ends where it can be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Interruption:
    """The signal that arrived.

    Attributes:
        signal: its number; None if none has arrived.
    """

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as a shell gives it: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + (self.signal or 0)


@contextmanager
def noting_signals() -> Iterator[Interruption]:
    """Within the block, SIGTERM and SIGINT are noted instead of ending the process.

    Only the main thread can do so; in another one, nothing changes.
    """
    interruption = Interruption()

    def note(number: int, _: object) -> None:
        interruption.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
