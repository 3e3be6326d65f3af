"""Patterns of paths below a folder, such as `**/*.tif`."""

from __future__ import annotations

import re
from pathlib import PurePosixPath


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression for whole paths with `/` between folders.

    `*` stands for any letters of one name, `?` for one letter, `[abc]` and `[!abc]` for one of some letters,
    `**` in the place of a folder for any number of folders, and at the end for all files below.

    Raises:
        ValueError: it is absolute or goes up.
    """
    parts = PurePosixPath(pattern).parts
    if PurePosixPath(pattern).is_absolute() or ".." in parts or not parts:
        raise ValueError(f"files: given {pattern!r}, allowed: a pattern below the folder, such as '**/*.tif'")
    expression = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            repeated = number > 0 and parts[number - 1] == "**"
            expression += ".+" if last else "" if repeated else "(?:[^/]+/)*"
        else:
            expression += _name(part) + ("" if last else "/")
    return re.compile(expression, re.DOTALL)


def _name(part: str) -> str:
    """Regular expression of one name."""
    expression, i = "", 0
    while i < len(part):
        letter, end = part[i], part.find("]", i + 2 + part.startswith("[!", i))
        if letter == "[" and end > 0:
            negated = part[i + 1] == "!"
            letters = re.sub(r"([\\\[\]^&~|])", r"\\\1", part[i + 1 + negated : end])
            expression += f"(?!/)[{'^' if negated else ''}{letters}]"
            i = end
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(letter, re.escape(letter))
        i += 1
    return expression
