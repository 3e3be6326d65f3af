"""Settings on top of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` on top of `base`, table by table, as Snakemake lays one configfile on another."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
