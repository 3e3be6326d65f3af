"""A number with its 95 % interval, from one seed or from several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval.

    Attributes:
        value: the number itself, or its mean over seeds.
        lo, hi: ends of the interval; None where none is known.
        seeds: number of seeds.
    """

    value: float
    lo: float | None = None
    hi: float | None = None
    seeds: int = 1

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval."""
        return None if self.lo is None or self.hi is None else (self.hi - self.lo) / 2

    def apart(self, other: Estimate) -> bool | None:
        """Whether the two intervals have no point in common; None where one of them is unknown."""
        if self.lo is None or self.hi is None or other.lo is None or other.hi is None:
            return None
        return self.lo > other.hi or other.lo > self.hi


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """One estimate from one for each seed.

    A single seed keeps its own interval (a bootstrap over test images). Several give their mean and Student's
    interval, mean +- t(0.975, n - 1) s / sqrt(n), with s the standard deviation over the n seeds: it speaks
    of training again, on the same test images.

    Raises:
        ValueError: there is no estimate.
    """
    if not estimates:
        raise ValueError("no estimates to combine")
    if len(estimates) == 1:
        return estimates[0]
    n = len(estimates)
    mean = math.fsum(item.value for item in estimates) / n
    variance = math.fsum((item.value - mean) ** 2 for item in estimates) / (n - 1)
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt(variance / n)
    return Estimate(mean, mean - half, mean + half, n)
