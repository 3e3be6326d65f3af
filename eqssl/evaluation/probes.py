"""A path of logistic regressions: one for each strength of the penalty, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from eqssl.evaluation.linear import LinearProbe
from eqssl.evaluation.logistic import LogisticFit, LogisticProblem

PATIENCE = 3
"""Weaker penalties that may bring nothing before a path ends."""
RISE = 1.1
"""Validation log-loss, relative to the lowest so far, above which a penalty counts as too weak."""


@dataclass(frozen=True)
class PathPoint:
    """One strength of a path.

    Attributes:
        strength: lambda = 1 / (C n).
        iterations: of L-BFGS.
        converged: whether the optimiser reached the tolerance.
        cold: whether the fit started from zero, because from the point before it would not move.
        accuracy, log_loss: on validation data.
    """

    strength: float
    iterations: int
    converged: bool
    cold: bool
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class ProbePath:
    """A path of probes, from the strongest penalty to the weakest, and the one that was chosen.

    Attributes:
        points: in the order in which they were fitted.
        chosen: position of the chosen point.
        edge: whether it is the first or the last strength of the settings: the range may be too narrow.
        ended: why the path ended before the weakest strength; None if it did not.
        probe: the chosen probe.
    """

    points: tuple[PathPoint, ...]
    chosen: int
    edge: bool
    ended: str | None
    probe: LinearProbe

    @property
    def strength(self) -> float:
        """The chosen strength."""
        return self.points[self.chosen].strength

    def record(self) -> dict[str, Any]:
        """For metrics.json."""
        columns = {name: [getattr(point, name) for point in self.points] for name in vars(self.points[0])}
        return {
            "strength": self.strength,
            "accuracy": self.points[self.chosen].accuracy,
            "edge": self.edge,
            "ended": self.ended,
            "path": columns,
        }


def logistic_path(
    features: Float[np.ndarray, "rows width"],
    labels: Int[np.ndarray, " rows"],
    validation: tuple[Float[np.ndarray, "held width"], Int[np.ndarray, " held"]],
    classes: int,
    strengths: Sequence[float],
    tolerance: float,
    iterations: int,
) -> ProbePath:
    """Fit logistic regressions of falling penalty, each from the one before; choose by validation accuracy.

    On equal accuracy the stronger penalty is chosen. Two things end a path early; both are recorded:

    - for `PATIENCE` strengths in a row the accuracy did not improve and the log-loss lay above `RISE` times
      its lowest: the probe overfits more with every further step;
    - a fit that started from the point before made no iteration, and the fit from zero that was done in its
      place brought no better accuracy: the penalty is too small to matter at this tolerance. (Without a
      fit from zero such a path would stay where it is, silently, however far the true solutions move.)

    Args:
        features: standardised features of the training images.
        labels: their classes; each class occurs.
        validation: features and labels to choose by.
        classes: number of classes.
        strengths: descending lambda = 1 / (C n).
        tolerance: when L-BFGS stops (`LogisticProblem.fit`).
        iterations: most iterations of L-BFGS.
    """
    problem = LogisticProblem(features, labels, classes)
    points: list[PathPoint] = []
    probes: list[LinearProbe] = []
    best, without_gain, ended = 0, 0, None
    for strength in strengths:
        if probes:
            fit, cold = refit(problem, strength, tolerance, iterations, probes[-1])
        else:
            fit, cold = problem.fit(strength, tolerance, iterations), False
        accuracy, log_loss = _rate(fit.probe, *validation)
        points.append(PathPoint(float(strength), fit.iterations, fit.converged, cold, accuracy, log_loss))
        probes.append(fit.probe)
        if accuracy > points[best].accuracy:
            best, without_gain = len(points) - 1, 0
            continue
        lowest = min(point.log_loss for point in points)
        without_gain = without_gain + 1 if log_loss > RISE * lowest else 0
        if cold:
            ended = "the penalty is too small to matter"
        elif without_gain == PATIENCE:
            ended = f"overfitting: {PATIENCE} strengths without a gain"
        if ended:
            break
    ended = None if len(points) == len(strengths) else ended
    return ProbePath(tuple(points), best, best in (0, len(strengths) - 1), ended, probes[best])


def refit(
    problem: LogisticProblem, strength: float, tolerance: float, iterations: int, start: LinearProbe
) -> tuple[LogisticFit, bool]:
    """Fit from a start; from zero if L-BFGS makes no step from there. Also tells whether it was from zero."""
    fit = problem.fit(strength, tolerance, iterations, start)
    if fit.iterations > 0:
        return fit, False
    return problem.fit(strength, tolerance, iterations), True


def _rate(
    probe: LinearProbe, features: Float[np.ndarray, "rows width"], labels: Int[np.ndarray, " rows"]
) -> tuple[float, float]:
    """Accuracy and mean log-loss."""
    scores = probe.scores(features).astype(np.float64)
    highest = scores.max(axis=1)
    of_label = scores[np.arange(len(labels)), labels]
    log_sum = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return float((scores.argmax(axis=1) == labels).mean()), float((log_sum - of_label).mean())
