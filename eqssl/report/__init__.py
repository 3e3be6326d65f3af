"""Reports of a grid: one HTML file with tables and figures, and a table for the terminal.

The names below are imported when they are first used, so the command line starts without matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqssl.report.console import print_table
    from eqssl.report.html import write_report
    from eqssl.report.style import save_figure

__all__ = ["print_table", "save_figure", "write_report"]


def __getattr__(name: str) -> Any:
    # Import statements rather than names in strings, because the digest of the code follows them.
    if name == "print_table":
        from eqssl.report.console import print_table

        return print_table
    if name == "save_figure":
        from eqssl.report.style import save_figure

        return save_figure
    if name == "write_report":
        from eqssl.report.html import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
