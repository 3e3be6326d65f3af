from __future__ import annotations

import numpy as np
import pytest
from feature_cells import probe_settings
from sklearn.svm import LinearSVC

from eqssl.evaluation.classifiers.base import Rows, strengths
from eqssl.evaluation.classifiers.svm import choose, fit, judge


def data(n=300, classes=3, noise=2.0, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = np.random.default_rng(5).standard_normal((classes, 8))[y] + noise * random.standard_normal((n, 8))
    return Rows(x, y)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [1.0, 1e-3])
def test_a_fit_has_the_least_value_of_what_is_said_to_be_minimised(classes, strength):
    from scipy.optimize import minimize

    rows = data(classes=classes)
    fitted = fit(strength, rows, probe_settings(tolerance=1e-8, iterations=10_000))
    for number, label in enumerate([1] if classes == 2 else range(classes)):
        targets = np.where(rows.labels == label, 1.0, -1.0)

        def value(w, targets=targets):
            scores = rows.features @ w[:-1] + w[-1]
            return np.mean(np.maximum(0, 1 - targets * scores) ** 2) + strength / 2 * (w @ w)

        found = minimize(value, np.zeros(9), options={"gtol": 1e-9}).x
        assert np.allclose(fitted.probe.coef_[number], found[:-1], atol=1e-4)
        assert fitted.probe.intercept_[number] == pytest.approx(found[-1], abs=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_is_the_sum_over_classes_of_squared_hinges(classes):
    rows = data(classes=classes)
    probe = fit(0.1, rows, probe_settings()).probe
    total = 0.0
    for x, y in zip(*rows, strict=True):
        for number, label in enumerate([1] if classes == 2 else range(classes)):
            score = sum(float(a * b) for a, b in zip(x, probe.coef_[number], strict=True))
            score += float(probe.intercept_[number])
            total += max(0.0, 1 - (score if y == label else -score)) ** 2
    accuracy, loss = judge(probe, rows)
    assert loss == pytest.approx(total / len(rows.labels))
    assert accuracy == probe.score(*rows)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_choice_is_that_of_scikit_learn_over_all_strengths(classes):
    rows, held = data(classes=classes), data(200, classes, seed=1)
    settings = probe_settings()
    chosen = choose(rows, held, settings, refit=True)
    fits = [LinearSVC(C=1 / (s * 300), dual=False, random_state=0).fit(*rows) for s in strengths(settings)]
    scores = [found.score(*held) for found in fits]
    tried = chosen.record["path"]["accuracy"]
    assert tried == scores[: len(tried)]
    assert chosen.record["accuracy"] == max(scores)
    assert chosen.record["strength"] == strengths(settings)[int(np.argmax(scores))]
    assert set(chosen.record["path"]) >= {"hinge_loss", "iterations", "converged"}
    both = rows.joined(held)
    final = LinearSVC(C=1 / (chosen.record["strength"] * 500), dual=False, random_state=0).fit(*both)
    assert np.array_equal(chosen.probe.coef_, final.coef_)
    assert chosen.record["refit"]["converged"] is True


def test_without_a_refit_the_chosen_fit_stays():
    rows, held = data(), data(200, seed=1)
    chosen = choose(rows, held, probe_settings(), refit=False)
    assert "refit" not in chosen.record
    assert np.mean(chosen.probe.predict(held.features) == held.labels) == chosen.record["accuracy"]


def test_too_few_iterations_are_recorded():
    fitted = fit(1e-6, data(), probe_settings(tolerance=1e-10, iterations=1))
    assert (fitted.converged, fitted.iterations) == (False, 1)
