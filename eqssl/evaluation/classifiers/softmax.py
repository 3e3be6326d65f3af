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
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from eqssl.evaluation.classifiers.base import Rows
from eqssl.evaluation.classifiers.path import Fit
from eqssl.evaluation.ridge import LinearProbe

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
        each = np.arange(len(y))
        scores = self._scores(weights)
        scores -= scores.max(axis=0)
        errors = np.exp(scores)
        sums = errors.sum(axis=0)
        found = float((np.log(sums) - scores[y, each]).mean(dtype=np.float64))
        errors /= sums
        self._curvature = float((errors * (1 - errors)).mean(dtype=np.float64))
        errors[y, each] -= 1
        errors = errors[-self._columns :]
        gradient = np.column_stack([errors @ x, errors.sum(axis=1, dtype=np.float64)]).T / len(y)
        gradient[:-1] += strength * weights[:-1]
        return found + strength / 2 * float((weights[:-1] ** 2).sum()), gradient

    def _scores(self, weights: Weights) -> Float[np.ndarray, "classes rows"]:
        """One row for each class: sums over the classes are quickest so."""
        x = self._rows.features
        own: np.ndarray = weights[:-1].T.astype(x.dtype) @ x.T + weights[-1:].T.astype(x.dtype)
        return own if self._columns > 1 else np.vstack([np.zeros_like(own), own])

    def _weights(self, probe: LinearProbe) -> Weights:
        return np.vstack([probe.weights, probe.bias])[:, -self._columns :]

    def _probe(self, weights: Weights) -> LinearProbe:
        if self._columns == 1:
            weights = np.hstack([np.zeros_like(weights), weights])
        return LinearProbe(weights[:-1], weights[-1])


def _moments(rows: Rows) -> Float[np.ndarray, "width+1 width+1"]:
    """M, with as much on its diagonal as its entries lack in precision, so that it is positive."""
    x = rows.features
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
