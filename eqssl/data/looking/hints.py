"""What helps where settings are given on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hinting() -> Iterator[None]:
    """Sources say which setting helps; this adds how it is given on the command line."""
    try:
        yield
    except ValueError as error:
        if "pip install" in str(error):  # no setting stands in for a package
            raise
        hint = "settings are given like --set labelled=false or --set 'folders=[split, class]'"
        raise ValueError(f"{error} ({hint})") from None
