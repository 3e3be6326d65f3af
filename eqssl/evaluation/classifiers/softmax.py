"""Logistic regression in coordinates in which L-BFGS is quick, for the many fits of a path.

What is minimised is what scikit-learn's LogisticRegression minimises,

    f(W, b) = mean_i -log softmax(W' x_i + b)_{y_i} + strength / 2 |W|^2,

with one column of W for each class, or for two classes one column in all. Features of networks are nearly
collinear, so the Hessian of f is ill-conditioned and L-BFGS takes hundreds of steps. About how large each
class's block of the Hessian is, is known beforehand:

    H = c M + strength I,        M = mean_i (x_i, 1)(x_i, 1)',        c the mean of p (1 - p),

where I has a 0 for the intercept. With H = L L' and (W, b) = L'^-1 U, the Hessian with respect to U is near
the identity, and ten or twenty steps are enough (preconditioning: Nocedal & Wright 2006, Numerical
Optimization, section 5.1).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from eqssl.evaluation.classifiers.base import Rows
from eqssl.evaluation.classifiers.path import Fit
from eqssl.evaluation.ridge import LinearProbe

BLOCK = 512
"""Rows at a time: they stay in the processor's cache from the scores to the gradient."""

Weights = Float[np.ndarray, "width+1 columns"]
"""W with b as its last row."""
Factor = Float[np.ndarray, "width+1 width+1"]
"""L."""


class SoftmaxFits:
    """Logistic regressions on the same rows with several strengths.

    Args:
        rows: standardised features and classes 0, 1, ...; each class occurs.
        tolerance: largest entry of the gradient with respect to U at which a fit stops.
        iterations: most iterations of L-BFGS.
    """

    def __init__(self, rows: Rows, tolerance: float, iterations: int) -> None:
        self._rows, self._tolerance, self._iterations = rows, tolerance, iterations
        self._classes = int(rows.labels.max()) + 1
        self._columns = self._classes if self._classes > 2 else 1
        self._moments = _moments(rows)
        self._curvature = (1 - 1 / self._classes) / self._classes  # where all classes are as likely

    def fit(self, start: LinearProbe | None, strength: float) -> Fit[LinearProbe]:
        """Fit from given weights, or from zero if L-BFGS makes no step from there.

        Args:
            start: a fit with another strength; None for zero.
            strength: lambda = 1 / (C n).
        """
        width = len(self._moments) - 1
        penalty = np.diag([strength] * width + [0.0])
        factor = cholesky(self._curvature * self._moments + penalty, lower=True)
        zero = np.zeros((width + 1, self._columns))
        if start is None:
            return self._fit(zero, factor, strength)
        fitted = self._fit(self._weights(start), factor, strength)
        return fitted if fitted.iterations else self._fit(zero, factor, strength)._replace(cold=True)

    def _fit(self, start: Weights, factor: Factor, strength: float) -> Fit[LinearProbe]:
        def value(u: Float[np.ndarray, " n"]) -> tuple[float, Float[np.ndarray, " n"]]:
            found, gradient = self._value(_solve(factor, u.reshape(start.shape), "T"), strength)
            return found, _solve(factor, gradient, "N").ravel()

        options = {"gtol": self._tolerance, "ftol": 64 * np.finfo(float).eps, "maxiter": self._iterations}
        first = (factor.T @ start).ravel()
        result = minimize(value, first, jac=True, method="L-BFGS-B", options=options)
        weights = _solve(factor, result.x.reshape(start.shape), "T")
        return Fit(self._probe(weights), int(result.nit), bool(result.success))

    def _value(self, weights: Weights, strength: float) -> tuple[float, Weights]:
        """F and its gradient with respect to (W, b); products with the features in their own precision."""
        x, y = self._rows
        count, rounded = len(y), weights.astype(x.dtype)
        found, curvature = 0.0, 0.0
        gradient = np.zeros((self._columns, len(weights)))
        for first in range(0, count, BLOCK):
            block = slice(first, first + BLOCK)
            loss, likely, errors = _errors(self._scores(x[block], rounded), y[block])
            found += loss
            curvature += float((likely * (1 - likely)).sum())
            errors = errors[-self._columns :]
            gradient[:, :-1] += errors @ x[block]
            gradient[:, -1] += errors.sum(axis=1)
        self._curvature = curvature / (count * self._classes)
        penalty = strength / 2 * float((weights[:-1] ** 2).sum())
        slope = gradient.T / count
        slope[:-1] += strength * weights[:-1]
        return found / count + penalty, slope

    def _scores(
        self, features: Float[np.ndarray, "block width"], weights: Weights
    ) -> Float[np.ndarray, "classes block"]:
        """One row for each class: sums over the classes are quickest so."""
        own = np.ascontiguousarray((features @ weights[:-1]).T) + weights[-1][:, None]
        return own if self._columns > 1 else np.vstack([np.zeros_like(own), own])

    def _weights(self, probe: LinearProbe) -> Weights:
        return np.vstack([probe.weights, probe.bias])[:, -self._columns :]

    def _probe(self, weights: Weights) -> LinearProbe:
        if self._columns == 1:
            weights = np.hstack([np.zeros_like(weights), weights])
        return LinearProbe(weights[:-1], weights[-1])


def _errors(
    scores: Float[np.ndarray, "classes block"], labels: Int[np.ndarray, " block"]
) -> tuple[float, Float[np.ndarray, "classes block"], Float[np.ndarray, "classes block"]]:
    """Sum of the log-losses, probabilities, and probabilities less the targets."""
    each = np.arange(len(labels))
    scores -= scores.max(axis=0)
    likely = np.exp(scores)
    sums = likely.sum(axis=0)
    likely /= sums
    errors = likely.copy()
    errors[labels, each] -= 1
    return float((np.log(sums) - scores[labels, each]).sum(dtype=np.float64)), likely, errors


def _moments(rows: Rows) -> Float[np.ndarray, "width+1 width+1"]:
    """M of enough rows, with as much on its diagonal as its entries lack in precision: so it is positive."""
    x = rows.features[:: max(1, len(rows.labels) // max(8192, 8 * rows.features.shape[1]))]
    width = x.shape[1]
    moments = np.empty((width + 1, width + 1))
    moments[:-1, :-1] = x.T @ x
    moments[-1, :-1] = moments[:-1, -1] = x.sum(axis=0, dtype=np.float64)
    moments[-1, -1] = len(x)
    moments /= len(x)
    return moments + np.finfo(x.dtype).eps * np.trace(moments) * np.eye(width + 1)


def _solve(factor: Factor, right: Weights, transposed: str) -> Weights:
    solution: np.ndarray = solve_triangular(factor, right, lower=True, trans=transposed, check_finite=False)
    return solution
