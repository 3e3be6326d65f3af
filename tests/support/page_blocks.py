"""The code blocks of documentation pages: Python runs unless a comment says why not, commands where one asks.

```python                       runs, after the blocks above it on the page
<!-- not run: why -->           the next block of Python does not run
<!-- run -->                    the next block of commands runs
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->\s*\Z")
_RUN = re.compile(r"^<!-- run -->\n\n((?:    .*\n|\n)+)", re.MULTILINE)
_MARK = re.compile(r"^<!--\s*(?:not )?run\b.*?-->", re.MULTILINE)


class Page(NamedTuple):
    """What of a page is to be run."""

    python: list[str]
    commands: list[str]
    """One line each."""


def pages() -> dict[str, Path]:
    """Every page of the documentation, by its path in the repository."""
    found = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    return {path.relative_to(ROOT).as_posix(): path for path in sorted(found)}


def read(path: Path) -> Page:
    """The blocks of a page that are to be run, in order.

    Raises:
        ValueError: a mark stands before nothing that it could mean.
    """
    text = path.read_text(encoding="utf-8")
    fenced = [(block, bool(_NOT_RUN.search(text[: block.start()]))) for block in _FENCED.finditer(text)]
    python = [(block[2], skipped) for block, skipped in fenced if block[1] == "python"]
    commands = _RUN.findall(text)
    meant = sum(skipped for _, skipped in python) + len(commands)
    if len(_MARK.findall(text)) != meant:
        raise ValueError(
            f"{path.name}: {len(_MARK.findall(text))} marks for blocks, {meant} of them before one"
        )
    lines = [line.strip() for block in commands for line in textwrap.dedent(block).splitlines()]
    return Page([block for block, skipped in python if not skipped], [line for line in lines if line])
