"""Logistic regression: scikit-learn's LogisticRegression with L-BFGS, each fit from the previous one."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from eqssl.config.evaluation import ProbeSettings
from eqssl.evaluation.classifiers.base import Chosen, Rows, strengths
from eqssl.evaluation.classifiers.path import Fit, ProbePath, converges, follow


def choose(train: Rows, held: Rows, settings: ProbeSettings, refit: bool) -> Chosen:
    """Fit a path and choose; a refit starts from the chosen probe (see `Choose`)."""
    path = logistic_path(train, held, strengths(settings), settings.tolerance, settings.iterations)
    probe, record = path.probe, path.record()
    if refit:
        again = fit(probe, path.strength, train.joined(held))
        probe = again.probe
        record["refit"] = {"iterations": again.iterations, "converged": again.converged}
    return Chosen(probe, record)


def logistic_path(
    train: Rows, held: Rows, strengths: Sequence[float], tolerance: float, iterations: int
) -> ProbePath[LogisticRegression]:
    """Logistic regressions with falling penalties, each from the previous.

    Args:
        train: training rows; L-BFGS is quickest with features in float32 and C order. Each class occurs.
        held: rows to choose by.
        strengths: descending lambda = 1 / (C n).
        tolerance: largest entry of the gradient at which L-BFGS stops.
        iterations: most iterations of L-BFGS.
    """
    # a probe without weights starts from zero
    unfitted = LogisticRegression(tol=tolerance, max_iter=iterations, solver="lbfgs", warm_start=True)
    return follow(
        lambda previous, strength: fit(previous or unfitted, strength, train),
        ("log-loss", _log_loss),
        held,
        strengths,
    )


def fit(start: LogisticRegression, strength: float, rows: Rows) -> Fit[LogisticRegression]:
    """Fit with another penalty from given weights, or from zero if L-BFGS makes no step from there.

    Args:
        start: gives the settings and, if it was fitted, the first weights. It is not changed.
        strength: lambda = 1 / (C n).
        rows: standardised features and classes; each class occurs.
    """
    probe = copy(start).set_params(C=1 / (strength * len(rows.labels)))
    converged = converges(probe, *rows)
    if probe.n_iter_[0] > 0:
        return Fit(probe, int(probe.n_iter_[0]), converged)
    probe = clone(probe)
    converged = converges(probe, *rows)
    return Fit(probe, int(probe.n_iter_[0]), converged, cold=True)


def _log_loss(probe: LogisticRegression, rows: Rows) -> float:
    return float(log_loss(rows.labels, probe.predict_proba(rows.features), labels=probe.classes_))
