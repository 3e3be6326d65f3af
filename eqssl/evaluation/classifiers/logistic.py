"""Logistic regression: a path that chooses the strength, and scikit-learn's fit at that strength."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from eqssl.config.evaluation import ProbeSettings
from eqssl.evaluation.classifiers.base import Chosen, Rows, strengths
from eqssl.evaluation.classifiers.path import ProbePath, converges, follow
from eqssl.evaluation.classifiers.softmax import SoftmaxFits
from eqssl.evaluation.ridge import LinearProbe

PATH_TOLERANCE = 10
"""Tolerance of the path over that of the final fit. In the coordinates of `SoftmaxFits` this is still nearer
to the solution: there the gradient is as large as the distance to it."""


def choose(train: Rows, held: Rows, settings: ProbeSettings, refit: bool) -> Chosen:
    """Choose a strength on a path (see `Choose`), and fit scikit-learn's LogisticRegression at it from zero.

    So the probe is, to the last bit, what anyone gets from scikit-learn with this strength.
    """
    path = logistic_path(train, held, strengths(settings), settings.tolerance, settings.iterations)
    rows = train.joined(held) if refit else train
    probe = LogisticRegression(
        C=1 / (path.strength * len(rows.labels)), tol=settings.tolerance, max_iter=settings.iterations
    )
    converged = converges(probe, *rows)
    fitted = {"iterations": int(probe.n_iter_[0]), "converged": converged, "images": len(rows.labels)}
    return Chosen(probe, {**path.record(), "refit": fitted})


def logistic_path(
    train: Rows, held: Rows, strengths: Sequence[float], tolerance: float, iterations: int
) -> ProbePath[LinearProbe]:
    """Logistic regressions with falling penalties, each from the previous.

    Args:
        train: training rows; quickest with features in float32 and C order. Each class occurs.
        held: rows to choose by.
        strengths: descending lambda = 1 / (C n).
        tolerance: of the final fit; see `PATH_TOLERANCE`.
        iterations: most iterations of L-BFGS.
    """
    fits = SoftmaxFits(train, PATH_TOLERANCE * tolerance, iterations)
    return follow(fits.fit, ("log-loss", _judge), held, strengths)


def _judge(probe: LinearProbe, rows: Rows) -> tuple[float, float]:
    """Accuracy and log-loss, with the scores in the precision of the features."""
    scores = probe.rounded(rows.features.dtype).scores(rows.features)
    likely = softmax(scores.astype(np.float64), axis=1)
    loss = log_loss(rows.labels, likely, labels=np.arange(scores.shape[1]))
    return float(np.mean(scores.argmax(axis=1) == rows.labels)), float(loss)
