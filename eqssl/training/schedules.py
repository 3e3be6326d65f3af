"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017, without restarts).

    `peak (step + 1) / warmup` for step < warmup, after that
    `peak (1 + cos(pi (step - warmup) / (steps - warmup))) / 2`; zero from `steps` on.

    Args:
        step: step of the optimiser, from 0.
        steps: steps of the whole run.
        warmup: steps of the warm-up, at most `steps`.
        peak: the largest learning rate.

    Raises:
        ValueError: if a number is out of its range.
    """
    if not (0 <= warmup <= steps and step >= 0):
        raise ValueError(
            f"given step {step}, warm-up {warmup}, steps {steps}, allowed: 0 <= warm-up <= steps"
        )
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= steps:
        return 0.0
    return peak * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
