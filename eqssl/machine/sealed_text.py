"""A page that ends with its own hash, so that damage to it is seen. JSON files have records instead."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from eqssl.config.regular_files import read_bytes

LARGEST = 2**30
"""Bytes of a page."""
_END = re.compile(rb"<!-- made of ([0-9a-f]{64}), content ([0-9a-f]{64}) -->\n\Z")
_END_BYTES = 160


def sealed_text(text: str, seals: Iterable[str]) -> str:
    """HTML with a comment at its end: the hash of what it was made of, and of everything before the comment.

    Args:
        text: the page.
        seals: of the records that it was made of, in their order.
    """
    content = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}<!-- made of {_made_of(seals)}, content {content} -->\n"


def check_sealed_text(path: Path, seals: Iterable[str] | None = None) -> None:
    """Refuse a page that was damaged, or made of other records.

    Args:
        path: the page.
        seals: of the records that it must be made of; None for any.

    Raises:
        ValueError: names the file and the reason.
        OSError: it cannot be read.
    """
    content = read_bytes(path, LARGEST)
    end = _END.search(content, max(0, len(content) - _END_BYTES))
    if end is None:
        raise ValueError(f"{path}: does not end with its hash: it is cut off")
    made_of, stated = (part.decode() for part in end.groups())
    found = hashlib.sha256(content[: end.start()]).hexdigest()
    if found != stated:
        raise ValueError(f"{path}: SHA-256 is {found}, its last line states {stated}: damaged")
    if seals is not None and made_of != _made_of(seals):
        raise ValueError(f"{path}: was made of other records than those that are there")


def _made_of(seals: Iterable[str]) -> str:
    """One hash of the seals of all records. The order in which they were read does not matter."""
    return hashlib.sha256(" ".join(sorted(seals)).encode()).hexdigest()
