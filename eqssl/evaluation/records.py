"""Reading the JSON files that earlier steps wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_record(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON file that holds a table.

    Args:
        path: the file.
        needed: keys that it must have.

    Raises:
        ValueError: if it holds anything else or lacks a key; names the file and the key.
        OSError: if it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: given {type(values).__name__}, allowed: a table of values")
    for key in needed:
        if key not in values:
            raise ValueError(f"{path}: {key}: is missing")
    return values
