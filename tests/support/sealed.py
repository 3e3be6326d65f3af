"""Records that a test changes and seals again, so that a reader's other checks are tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eqssl.machine.files import sha256
from eqssl.machine.records import FILES, MADE_OF, SEAL, seal_of


def resealed(path: Path, change: Callable[[dict[str, Any]], Any] | None = None, **made_of: Path) -> Path:
    """Change a record, and seal it again together with its files as they are now.

    Args:
        path: the record.
        change: changes its content in place.
        made_of: name -> record that it is then made of.

    Returns:
        The path.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if change is not None:
        change(content)
    content[FILES] = {name: sha256(path.parent / name) for name in content[FILES]}
    content[MADE_OF] |= {name: seal_in(record) for name, record in made_of.items()}
    path.write_text(json.dumps({**content, SEAL: seal_of(content)}), encoding="utf-8")
    return path


def seal_in(path: Path) -> str:
    """The seal that a record states."""
    return str(json.loads(path.read_text(encoding="utf-8"))[SEAL])
