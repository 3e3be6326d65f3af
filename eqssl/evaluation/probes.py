"""A path of logistic regressions: one for each strength of the penalty, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

from eqssl.evaluation.linear_probe import LinearProbe
from eqssl.evaluation.softmax import softmax_loss

PATIENCE = 2
"""Weaker penalties in a row that may bring no gain on validation data before a path ends."""


@dataclass(frozen=True)
class PathPoint:
    """One strength of a path.

    Attributes:
        strength: lambda = 1 / (C n).
        iterations: of L-BFGS.
        converged: False where L-BFGS stopped before it reached the tolerance.
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
class FittedProbe:
    """A probe, and how L-BFGS found it; `cold` where it started from zero although there was a start."""

    probe: LinearProbe
    iterations: int
    converged: bool
    cold: bool


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
    strengths: Sequence[float],
    tolerance: float,
    iterations: int,
) -> ProbePath:
    """Fit logistic regressions of falling penalty, each from the one before; choose by validation accuracy.

    On equal accuracy the stronger penalty is chosen. Two things end a path early; both are recorded:

    - `PATIENCE` strengths in a row brought neither a lower validation log-loss nor a better accuracy: the
      probe overfits;
    - a fit that started from the point before made no iteration, and the fit from zero that was done in its
      place brought no better accuracy: the penalty is too small to matter at this tolerance. (Without a
      fit from zero such a path would stay where it is, silently, however far the true solutions move.)

    Args:
        features: standardised features of the training images; L-BFGS is quickest in float32 and C order.
        labels: their classes; each class occurs.
        validation: features and labels to choose by.
        strengths: descending lambda = 1 / (C n).
        tolerance: largest entry of the gradient at which L-BFGS stops.
        iterations: most iterations of L-BFGS.
    """
    inputs, held = _with_ones(features), _with_ones(validation[0])
    points: list[PathPoint] = []
    probes: list[LinearProbe] = []
    best, without_gain, ended = 0, 0, None
    start = None
    for strength in strengths:
        fitted = _fit(start, strength, inputs, labels, tolerance, iterations)
        start = fitted.probe
        accuracy = float((start.predict(validation[0]) == validation[1]).mean())
        loss, _ = softmax_loss(_flat(start), held, validation[1], 0.0)
        points.append(PathPoint(strength, fitted.iterations, fitted.converged, fitted.cold, accuracy, loss))
        probes.append(start)
        better = accuracy > points[best].accuracy
        best = len(points) - 1 if better else best
        lower = loss <= min(point.log_loss for point in points)
        without_gain = 0 if lower or better else without_gain + 1
        if fitted.cold and not better:
            ended = "the penalty is too small to matter"
        elif without_gain == PATIENCE:
            ended = f"overfitting: {PATIENCE} strengths without a lower log-loss or a better accuracy"
        if ended:
            break
    ended = None if len(points) == len(strengths) else ended
    return ProbePath(tuple(points), best, best in (0, len(strengths) - 1), ended, probes[best])


def fit(
    start: LinearProbe | None,
    strength: float,
    features: Float[np.ndarray, "rows width"],
    labels: Int[np.ndarray, " rows"],
    tolerance: float,
    iterations: int,
) -> FittedProbe:
    """Fit with another penalty from a start, or from zero if L-BFGS makes no step from there.

    The minimum is that of scikit-learn's `LogisticRegression(C=1 / (strength * n))`, and so are the settings
    of L-BFGS. Of two classes scikit-learn penalises the difference of their weights alone; here that is twice
    the strength on both.

    Args:
        start: first weights; None for zero.
        strength: lambda = 1 / (C n).
        features: standardised.
        labels: each class occurs.
        tolerance: largest entry of the gradient at which L-BFGS stops.
        iterations: most iterations of L-BFGS.
    """
    return _fit(start, strength, _with_ones(features), labels, tolerance, iterations)


def _fit(
    start: LinearProbe | None,
    strength: float,
    inputs: Float[np.ndarray, "rows columns"],
    labels: Int[np.ndarray, " rows"],
    tolerance: float,
    iterations: int,
) -> FittedProbe:
    classes = int(labels.max()) + 1
    penalty = 2 * strength if classes == 2 else strength
    zero = np.zeros(classes * inputs.shape[1])
    options = {
        "maxiter": iterations,
        "maxcor": 20,
        "maxls": 50,
        "gtol": tolerance,
        "ftol": 64 * np.finfo(float).eps,
    }

    def solved(first: Float[np.ndarray, " numbers"], cold: bool) -> FittedProbe:
        found = minimize(
            softmax_loss, first, (inputs, labels, penalty), method="L-BFGS-B", jac=True, options=options
        )
        weights = found.x.reshape(classes, -1).T.astype(inputs.dtype)
        return FittedProbe(LinearProbe(weights[:-1], weights[-1]), int(found.nit), bool(found.success), cold)

    if start is None:
        return solved(zero, cold=False)
    warm = solved(_flat(start), cold=False)
    return warm if warm.iterations else solved(zero, cold=True)


def _flat(probe: LinearProbe) -> Float[np.ndarray, " numbers"]:
    """Weights and biases class by class, as `softmax_loss` takes them."""
    flat: np.ndarray = np.vstack([probe.weights, probe.bias]).T.astype(np.float64).ravel()
    return flat


def _with_ones(features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows columns"]:
    return np.hstack([features, np.ones((len(features), 1), features.dtype)])
