"""Pretraining: the loop, optimisers, schedules, checkpoints and the log.

Importing this package is quick: torch is imported when `pretrain` is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqssl.training.pretraining import pretrain

__all__ = ["pretrain"]


def __getattr__(name: str) -> Any:
    if name != "pretrain":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eqssl.training.pretraining import pretrain

    return pretrain
