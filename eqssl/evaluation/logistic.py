"""Multinomial logistic regression with an l2 penalty: L-BFGS in coordinates where the loss curves evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

from eqssl.evaluation.linear import LinearProbe


@dataclass(frozen=True)
class LogisticFit:
    """A fitted logistic regression.

    Attributes:
        probe: weights and intercepts.
        iterations: of L-BFGS.
        converged: whether the gradient reached the tolerance.
    """

    probe: LinearProbe
    iterations: int
    converged: bool


class LogisticProblem:
    r"""Logistic regression on one set of labelled features, for any strength of the penalty.

        minimise over W, b   mean_i log-loss(W' x_i + b, label_i) + strength / 2 * |W|^2

    This is scikit-learn's LogisticRegression(C=1 / (strength * n)); for two classes, where scikit-learn
    fits the difference of two vectors of weights, C=2 / (strength * n).

    Features of a network are close to collinear: their covariance V diag(v) V' spans many orders of
    magnitude, and L-BFGS takes thousands of iterations, or stops where the gradient is small because
    the loss is flat. So it runs in the coordinates U, W = V diag(c v + strength)^(-1/2) U, where c =
    (1 - 1/K) / K is the curvature of the log-loss of K classes at zero weights. The minimum is the same;
    the Hessian is about the identity, a tenth of the iterations is enough, and a small gradient
    means being close to the minimum. The intercept is that of centred features, and not penalised.

    Args:
        features: standardised. With float32, products are made in float32, which halves the time and
            still reaches a tolerance of 1e-5.
        labels: classes from 0.
        classes: number of classes.
    """

    def __init__(
        self, features: Float[np.ndarray, "rows width"], labels: Int[np.ndarray, " rows"], classes: int
    ) -> None:
        self._mean = features.mean(axis=0, dtype=np.float64)
        centred = features.astype(np.float64) - self._mean
        values, self._axes = np.linalg.eigh(centred.T @ centred / len(features))
        self._variances = values.clip(min=0)
        # (width, rows), so that every sum over classes or images runs along memory
        self._rotated = np.ascontiguousarray((centred @ self._axes).T, features.dtype)
        self._of_label = labels * len(labels) + np.arange(len(labels))
        self._classes = classes
        self._curvature = (1 - 1 / classes) / classes

    def fit(
        self, strength: float, tolerance: float, iterations: int, start: LinearProbe | None = None
    ) -> LogisticFit:
        """Minimise for one strength.

        Args:
            strength: lambda = 1 / (C n).
            tolerance: largest entry of the gradient with respect to U and the scaled intercepts at the end.
            iterations: most iterations.
            start: where to start; zero if None.
        """
        width = len(self._variances)
        variances = np.append(self._curvature * self._variances + strength, self._curvature)
        scale = 1 / np.sqrt(variances)[:, None]
        first = np.zeros((width + 1, self._classes))
        if start is not None:
            first[:width] = self._axes.T @ start.weights
            first[width] = start.bias + self._mean @ start.weights
        result = minimize(
            self._loss,
            (first / scale).ravel(),
            args=(strength, scale),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": iterations, "gtol": tolerance, "ftol": 0.0, "maxls": 50},
        )
        found = result.x.reshape(first.shape) * scale
        weights = self._axes @ found[:width]
        probe = LinearProbe(weights, found[width] - self._mean @ weights)
        return LogisticFit(probe, int(result.nit), bool(result.status == 0))

    def _loss(
        self, flat: Float[np.ndarray, " numbers"], strength: float, scale: Float[np.ndarray, "rows 1"]
    ) -> tuple[float, Float[np.ndarray, " numbers"]]:
        """The objective and its gradient in the coordinates of L-BFGS."""
        point = flat.reshape(len(scale), self._classes) * scale
        weights, bias, kind = point[:-1], point[-1:], self._rotated.dtype
        scores = weights.T.astype(kind) @ self._rotated
        scores += bias.T.astype(kind)
        scores -= scores.max(axis=0)
        of_label = scores.reshape(-1)[self._of_label]
        total = np.exp(scores, out=scores).sum(axis=0)
        loss = np.subtract(np.log(total), of_label).mean(dtype=np.float64)
        # probabilities, less 1 for the image's class
        scores /= total
        scores.reshape(-1)[self._of_label] -= 1
        gradient = np.empty_like(point)
        gradient[:-1] = self._rotated @ scores.T / scores.shape[1] + strength * weights
        gradient[-1] = scores.mean(axis=1, dtype=np.float64)
        value: Any = loss + strength / 2 * (weights**2).sum()
        return float(value), (gradient * scale).reshape(-1)
