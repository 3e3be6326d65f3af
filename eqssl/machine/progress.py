"""Progress of long loops, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")
# seconds between lines in a log file
_INTERVAL = 10.0


def track(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Pass items on and show how many of `total` are done: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        yield from rich_track(items, description, total=total, console=Console(stderr=True), transient=True)
        return
    last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > _INTERVAL:
            last = time.monotonic()
            print(f"{description}: {done} of {total}", file=sys.stderr, flush=True)
