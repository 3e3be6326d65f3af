"""A path of classifiers: one for each strength of the penalty, and the choice among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning

from eqssl.evaluation.classifiers.base import Probe, Rows

PATIENCE = 2
"""After so many weaker penalties in a row without a gain on validation data, a path ends."""

P = TypeVar("P", bound=Probe)


class Fit(NamedTuple, Generic[P]):
    """One fit.

    Attributes:
        probe: the fitted classifier.
        iterations: of its solver.
        converged: False if scikit-learn warned that the solver had stopped too early.
        cold: whether the fit started from zero because from the previous point it would not move.
    """

    probe: P
    iterations: int
    converged: bool
    cold: bool = False


@dataclass(frozen=True)
class PathPoint:
    """One strength of a path.

    Attributes:
        strength: lambda = 1 / (C n).
        iterations, converged, cold: as in `Fit`.
        accuracy, loss: on validation data.
    """

    strength: float
    iterations: int
    converged: bool
    cold: bool
    accuracy: float
    loss: float


@dataclass(frozen=True)
class ProbePath(Generic[P]):
    """A path of probes, from the strongest penalty to the weakest, and the one that was chosen.

    Attributes:
        points: in the order in which they were fitted.
        chosen: position of the chosen point.
        edge: whether it is the first or the last strength of the settings, so that the range may be too
            narrow.
        ended: why the path ended before the weakest strength; None if it did not.
        probe: the chosen probe.
        loss: name of the loss.
    """

    points: tuple[PathPoint, ...]
    chosen: int
    edge: bool
    ended: str | None
    probe: P
    loss: str

    @property
    def strength(self) -> float:
        """The chosen strength."""
        return self.points[self.chosen].strength

    def record(self) -> dict[str, Any]:
        """The entry for metrics.json."""
        columns = {name: [getattr(point, name) for point in self.points] for name in vars(self.points[0])}
        columns[self.loss.replace("-", "_")] = columns.pop("loss")
        return {
            "strength": self.strength,
            "accuracy": self.points[self.chosen].accuracy,
            "edge": self.edge,
            "ended": self.ended,
            "path": columns,
        }


def follow(
    fit: Callable[[P | None, float], Fit[P]],
    judge: tuple[str, Callable[[P, Rows], tuple[float, float]]],
    held: Rows,
    strengths: Sequence[float],
) -> ProbePath[P]:
    """Fit classifiers with falling penalties; choose by validation accuracy.

    On equal accuracy the stronger penalty is chosen. Two things end a path early; both are recorded:

    - `PATIENCE` strengths in a row brought neither a lower validation loss nor a better accuracy: the
      probe overfits;
    - a fit that started from the previous point made no iteration, and a fit from zero in its place gave no
      better accuracy: the penalty is too small to matter at this tolerance. (Without the fit from zero such a
      path would silently stay where it is, however far the true solutions move.)

    Args:
        fit: from the previous probe (None at first) and a strength.
        judge: name of the validation loss, and a function that gives accuracy and loss.
        held: features and labels to choose by.
        strengths: descending lambda = 1 / (C n).
    """
    points: list[PathPoint] = []
    probes: list[P] = []
    name, judged = judge
    best, without_gain, ended = 0, 0, None
    for strength in strengths:
        fitted = fit(probes[-1] if probes else None, strength)
        accuracy, loss = judged(fitted.probe, held)
        probes.append(fitted.probe)
        point = PathPoint(strength, fitted.iterations, fitted.converged, fitted.cold, accuracy, loss)
        points.append(point)
        better = accuracy > points[best].accuracy
        best = len(points) - 1 if better else best
        lower = point.loss <= min(other.loss for other in points)
        without_gain = 0 if lower or better else without_gain + 1
        if fitted.cold and not better:
            ended = "the penalty is too small to matter"
        elif without_gain == PATIENCE:
            ended = f"overfitting: {PATIENCE} strengths without a lower {name} or a better accuracy"
        if ended:
            break
    ended = None if len(points) == len(strengths) else ended
    return ProbePath(tuple(points), best, best in (0, len(strengths) - 1), ended, probes[best], name)


def converges(
    probe: Any, features: Float[np.ndarray, "rows width"], labels: Int[np.ndarray, " rows"]
) -> bool:
    """Fit in place, and say whether it converged. scikit-learn reports this only by a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(features, labels)
    others = [warning for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return len(caught) == len(others)
