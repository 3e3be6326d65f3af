"""A path of logistic regressions: one for each strength of the penalty, and the choice among them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

PATIENCE = 2
"""After so many weaker penalties in a row without a gain on validation data, a path ends."""


@dataclass(frozen=True)
class PathPoint:
    """One strength of a path.

    Attributes:
        strength: lambda = 1 / (C n).
        iterations: number of iterations of L-BFGS.
        converged: False if scikit-learn warned that L-BFGS had stopped too early.
        cold: whether the fit started from zero, because from the previous point it would not move.
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
        edge: whether it is the first or the last strength of the settings, so that the range may be too
            narrow.
        ended: why the path ended before the weakest strength; None if it did not.
        probe: the chosen probe.
    """

    points: tuple[PathPoint, ...]
    chosen: int
    edge: bool
    ended: str | None
    probe: LogisticRegression

    @property
    def strength(self) -> float:
        """The chosen strength."""
        return self.points[self.chosen].strength

    def record(self) -> dict[str, Any]:
        """The entry for metrics.json."""
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
    strengths: Sequence[float],
    tolerance: float,
    iterations: int,
) -> ProbePath:
    """Fit logistic regressions with falling penalties, each from the previous; choose by validation accuracy.

    On equal accuracy the stronger penalty is chosen. Two things end a path early; both are recorded:

    - `PATIENCE` strengths in a row brought neither a lower validation log-loss nor a better accuracy: the
      probe overfits;
    - a fit that started from the previous point made no iteration, and a fit from zero in its place gave no
      better accuracy: the penalty is too small to matter at this tolerance. (Without the fit from zero such a
      path would silently stay where it is, however far the true solutions move.)

    Args:
        features: standardised features of the training images; L-BFGS is quickest in float32 and C order.
        labels: their classes; each class occurs.
        validation: features and labels to choose by.
        strengths: descending lambda = 1 / (C n).
        tolerance: largest entry of the gradient at which L-BFGS stops.
        iterations: most iterations of L-BFGS.
    """
    points: list[PathPoint] = []
    probes: list[LogisticRegression] = []
    best, without_gain, ended = 0, 0, None
    # a probe without weights starts from zero
    probe = LogisticRegression(tol=tolerance, max_iter=iterations, solver="lbfgs", warm_start=True)
    for strength in strengths:
        probe, converged, cold = fit(probe, strength, features, labels)
        accuracy = float(probe.score(*validation))
        loss = float(log_loss(validation[1], probe.predict_proba(validation[0]), labels=probe.classes_))
        points.append(PathPoint(strength, int(probe.n_iter_[0]), converged, cold, accuracy, loss))
        probes.append(probe)
        better = accuracy > points[best].accuracy
        best = len(points) - 1 if better else best
        lower = loss <= min(point.log_loss for point in points)
        without_gain = 0 if lower or better else without_gain + 1
        if cold and not better:
            ended = "the penalty is too small to matter"
        elif without_gain == PATIENCE:
            ended = f"overfitting: {PATIENCE} strengths without a lower log-loss or a better accuracy"
        if ended:
            break
    ended = None if len(points) == len(strengths) else ended
    return ProbePath(tuple(points), best, best in (0, len(strengths) - 1), ended, probes[best])


def fit(
    start: LogisticRegression,
    strength: float,
    features: Float[np.ndarray, "rows width"],
    labels: Int[np.ndarray, " rows"],
) -> tuple[LogisticRegression, bool, bool]:
    """Fit with another penalty from given weights, or from zero if L-BFGS makes no step from there.

    Args:
        start: gives the settings and, if it was fitted, the first weights. It is not changed.
        strength: lambda = 1 / (C n).
        features: standardised features.
        labels: classes of the images; each class occurs.

    Returns:
        The fitted probe, whether it converged, and whether it was fitted from zero instead.
    """
    probe = copy(start).set_params(C=1 / (strength * len(labels)))
    converged = _fit(probe, features, labels)
    if probe.n_iter_[0] > 0:
        return probe, converged, False
    probe = clone(probe)
    return probe, _fit(probe, features, labels), True


def _fit(
    probe: LogisticRegression, features: Float[np.ndarray, "rows width"], labels: Int[np.ndarray, " rows"]
) -> bool:
    """Fit in place, and say whether it converged. scikit-learn reports this only by a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(features, labels)
    others = [warning for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return len(caught) == len(others)
