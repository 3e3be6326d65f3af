"""A linear support vector machine: scikit-learn's LinearSVC, each class against the rest, squared hinge."""

from __future__ import annotations

import numpy as np
from sklearn.svm import LinearSVC

from eqssl.config.evaluation import ProbeSettings
from eqssl.evaluation.classifiers.base import Chosen, Rows, strengths
from eqssl.evaluation.classifiers.path import Fit, converges, follow


def choose(train: Rows, held: Rows, settings: ProbeSettings, refit: bool) -> Chosen:
    """Fit a path, each from zero, and choose (see `Choose`)."""
    path = follow(
        lambda _, strength: fit(strength, train, settings),
        ("hinge-loss", judge),
        held,
        strengths(settings),
    )
    probe, record = path.probe, path.record()
    if refit:
        again = fit(path.strength, train.joined(held), settings)
        probe = again.probe
        record["refit"] = {"iterations": again.iterations, "converged": again.converged}
    return Chosen(probe, record)


def fit(strength: float, rows: Rows, settings: ProbeSettings) -> Fit[LinearSVC]:
    """Minimise the primal problem (liblinear's trust region method, which draws no random number).

        mean_i sum_k max(0, 1 - t_ik f_k(x_i))^2 + strength / 2 |W|^2,        t_ik = 1 for the class, else -1

    As always in liblinear, the intercept is penalised like a weight.

    Args:
        strength: lambda = 1 / (C n).
        rows: standardised features and classes; each class occurs.
        settings: tolerance and iterations.
    """
    probe = LinearSVC(
        C=1 / (strength * len(rows.labels)),
        dual=False,
        tol=settings.tolerance,
        max_iter=settings.iterations,
        random_state=0,
    )
    converged = converges(probe, *rows)
    return Fit(probe, int(np.max(probe.n_iter_)), converged)


def judge(probe: LinearSVC, rows: Rows) -> tuple[float, float]:
    """Accuracy, and the mean over rows of the squared hinge losses of all classes: what a fit minimises."""
    accuracy = float(np.mean(probe.predict(rows.features) == rows.labels))
    scores, classes = probe.decision_function(rows.features), probe.classes_
    if scores.ndim == 1:  # two classes have one score
        scores, classes = scores[:, None], classes[1:]
    targets = np.where(rows.labels[:, None] == classes, 1, -1)
    return accuracy, float(np.mean((np.maximum(0, 1 - targets * scores) ** 2).sum(axis=1)))
