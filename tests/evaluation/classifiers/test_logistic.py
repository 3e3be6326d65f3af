from __future__ import annotations

import warnings

import numpy as np
import pytest
from feature_cells import probe_settings
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression

from eqssl.evaluation.classifiers.base import Rows
from eqssl.evaluation.classifiers.logistic import choose, logistic_path
from eqssl.evaluation.classifiers.path import PATIENCE, converges
from eqssl.evaluation.classifiers.softmax import SoftmaxFits
from eqssl.evaluation.ridge import LinearProbe


def data(n=200, width=12, classes=4, seed=0, collinear=True):
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    points = np.random.default_rng(50).standard_normal((classes, width))
    x = points[y] + 1.5 * random.standard_normal((n, width))
    if collinear:
        x = x @ np.random.default_rng(1).standard_normal((width, width)) * np.geomspace(1, 1e-3, width)
        x = x @ np.linalg.qr(np.random.default_rng(2).standard_normal((width, width)))[0]
        x = x / x.std(0) + 3
    return Rows(x, y)


def strengths(count=13, least=1e-6):
    return [float(strength) for strength in np.geomspace(1, least, count)]


def split(seed=0, **settings):
    rows = data(420, seed=seed, **settings)
    return rows.part(np.arange(240)), rows.part(np.arange(240, 420))


def exact(rows, strength):
    """The solution of another solver."""
    c = 1 / (strength * len(rows.labels))
    return LogisticRegression(C=c, tol=1e-9, solver="newton-cg", max_iter=5000).fit(*rows)


def value(probe: LinearProbe, rows, strength, classes):
    """What is minimised, image by image."""
    total = 0.0
    for x, y in zip(*rows, strict=True):
        scores = [float(x @ probe.weights[:, k] + probe.bias[k]) for k in range(classes)]
        total += np.log(sum(np.exp(s - scores[y]) for s in scores))
    return total / len(rows.labels) + strength / 2 * float((probe.weights**2).sum())


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("collinear", [False, True])
@pytest.mark.parametrize("strength", [1.0, 1e-2, 1e-4])
def test_quick_coordinates_lead_to_scikit_learns_solution(strength, collinear, classes):
    rows = data(classes=classes, collinear=collinear)
    fitted = SoftmaxFits(rows, 1e-9, 5000).fit(None, strength)
    reference = exact(rows, strength)
    assert (fitted.converged, fitted.cold) == (True, False)
    weights = fitted.probe.weights[:, -reference.coef_.shape[0] :].T
    assert np.allclose(weights, reference.coef_, rtol=1e-3, atol=1e-3)
    assert np.array_equal(fitted.probe.predict(rows.features), reference.predict(rows.features))


@pytest.mark.parametrize("classes", [2, 4])
def test_value_and_gradient_are_those_of_the_formula(classes):
    rows = data(60, classes=classes)
    fits = SoftmaxFits(rows, 1e-4, 10)
    weights = np.random.default_rng(3).standard_normal((13, classes if classes > 2 else 1))
    found, gradient = fits._value(weights, 0.1)
    slow = lambda w: value(fits._probe(w.reshape(weights.shape)), rows, 0.1, classes)  # noqa: E731
    assert found == pytest.approx(slow(weights.ravel()))
    assert np.allclose(gradient.ravel(), approx_fprime(weights.ravel(), slow), atol=1e-5)


def test_quick_coordinates_take_fewer_steps_and_end_nearer_to_the_solution():
    rows, strength = data(2000, 40), 1e-5
    quick = SoftmaxFits(rows, 1e-3, 5000).fit(None, strength)
    usual = LogisticRegression(C=1 / (strength * 2000), tol=1e-4, max_iter=5000).fit(*rows)
    assert quick.iterations < usual.n_iter_[0] / 3
    best = SoftmaxFits(rows, 1e-9, 5000).fit(None, strength).probe
    lowest = value(best, rows, strength, 4)
    other = LinearProbe(usual.coef_.T, usual.intercept_)
    assert lowest <= value(quick.probe, rows, strength, 4) < value(other, rows, strength, 4)


def test_features_in_single_precision_give_the_same_choice():
    rows, held = split()
    mean, deviation = rows.features.mean(0), rows.features.std(0)
    pairs = [
        [Rows(((part.features - mean) / deviation).astype(dtype), part.labels) for part in (rows, held)]
        for dtype in (np.float64, np.float32)
    ]
    one, other = (logistic_path(*pair, strengths(), 1e-5, 1000) for pair in pairs)
    assert (one.chosen, len(one.points)) == (other.chosen, len(other.points))
    assert all(point.converged for point in other.points)


def test_fewer_rows_than_features_are_no_obstacle():
    rows = data(24, 60, collinear=False)
    for dtype in (np.float32, np.float64):
        fitted = SoftmaxFits(Rows(rows.features.astype(dtype), rows.labels), 1e-6, 5000).fit(None, 1e-4)
        assert np.array_equal(fitted.probe.predict(rows.features), exact(rows, 1e-4).predict(rows.features))


def test_a_start_saves_iterations_and_stays_as_it_is():
    fits = SoftmaxFits(data(), 1e-4, 1000)
    start = fits.fit(None, 1e-2).probe
    before = start.weights.copy()
    warm = fits.fit(start, 5e-3)
    assert not warm.cold
    assert 0 < warm.iterations < fits.fit(None, 5e-3).iterations
    assert np.array_equal(start.weights, before)


def test_a_fit_from_its_own_solution_is_done_again_from_zero():
    rows, _ = split()
    solution = SoftmaxFits(rows, 1e-8, 5000).fit(None, 0.1).probe
    again = SoftmaxFits(rows, 1e-4, 1000).fit(solution, 0.1)
    assert (again.converged, again.cold) == (True, True)
    assert again.iterations > 0
    assert np.allclose(again.probe.weights, solution.weights, atol=1e-2)
    assert not np.array_equal(again.probe.weights, solution.weights)


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_probe_is_scikit_learns_to_the_last_bit(classes, refit):
    rows, held = split(classes=classes, collinear=False)
    chosen = choose(rows, held, probe_settings(), refit)
    used = rows.joined(held) if refit else rows
    c = 1 / (chosen.record["strength"] * len(used.labels))
    reference = LogisticRegression(C=c, max_iter=1000).fit(*used)
    assert np.array_equal(chosen.probe.coef_, reference.coef_)
    assert np.array_equal(chosen.probe.intercept_, reference.intercept_)
    iterations = int(reference.n_iter_[0])
    assert chosen.record["refit"] == {
        "iterations": iterations,
        "converged": True,
        "images": 420 if refit else 240,
    }


@pytest.mark.parametrize("classes", [2, 4])
def test_the_path_chooses_what_separate_fits_choose(classes):
    for seed in range(3):
        rows, held = split(seed, classes=classes, collinear=False)
        path = logistic_path(rows, held, strengths(), 1e-8, 5000)
        accuracies = [exact(rows, strength).score(*held) for strength in strengths()]
        # argmax takes the first, the strongest penalty
        assert path.chosen == int(np.argmax(accuracies))
        done = len(path.points)
        assert [p.accuracy for p in path.points] == pytest.approx(accuracies[:done], abs=0.006)
        assert np.mean(path.probe.predict(held.features) == held.labels) == path.points[path.chosen].accuracy
        assert path.edge == (path.chosen in (0, 12))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_log_loss_is_the_mean_over_validation_images(classes):
    rows, held = split(classes=classes)
    path = logistic_path(rows, held, strengths(), 1e-4, 1000)
    assert path.points[path.chosen].loss == pytest.approx(value(path.probe, held, 0.0, classes))


def test_ties_go_to_the_stronger_penalty_and_the_edge_is_flagged():
    y = data(120).labels
    far = Rows(50 * np.eye(12)[y], y)
    path = logistic_path(far, far, strengths(), 1e-4, 1000)
    assert [point.accuracy for point in path.points][:2] == [1.0, 1.0]
    assert (path.chosen, path.edge, path.strength) == (0, True, 1.0)


def test_a_path_ends_when_it_only_overfits():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((24, 40)), np.arange(24) % 4
    x[:, 0] += y
    held = Rows(random.standard_normal((400, 40)), np.arange(400) % 4)
    held.features[:, 0] += held.labels
    path = logistic_path(Rows(x, y), held, strengths(), 1e-4, 1000)
    assert path.ended is not None
    assert path.ended.startswith("overfitting")
    last = len(path.points) - 1
    losses = [point.loss for point in path.points]
    assert max(int(np.argmin(losses)), path.chosen) == last - PATIENCE
    accuracies = [exact(Rows(x, y), strength).score(*held) for strength in strengths()]
    assert path.points[path.chosen].accuracy == pytest.approx(max(accuracies), abs=0.03)


def test_a_path_that_stands_still_is_noticed():
    rows, held = split()
    # a tolerance so loose that fits which start from the one before make no step
    path = logistic_path(rows, held, strengths(), 0.01, 1000)
    assert any(point.cold for point in path.points)
    assert all(point.iterations > 0 for point in path.points)
    assert not any(point.cold for point in logistic_path(rows, held, strengths(), 1e-5, 1000).points)


def test_a_path_ends_where_the_penalty_no_longer_matters():
    (x, y), held = split()
    # a third of the labels says nothing: no weights separate the classes
    y = np.where(np.arange(len(y)) % 3 == 0, np.random.default_rng(0).permutation(y), y)
    weak = [float(strength) for strength in np.geomspace(1e-9, 1e-12, 13)]
    path = logistic_path(Rows(x, y), held, weak, 1e-4, 1000)
    assert path.points[-1].cold
    assert path.ended == "the penalty is too small to matter"
    assert len(path.points) < 13


def test_too_few_iterations_are_recorded_and_not_printed():
    rows = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = logistic_path(rows, rows, strengths(), 1e-6, 3)
        chosen = choose(rows, rows, probe_settings(tolerance=1e-6, iterations=3), refit=False)
    assert not path.points[-1].converged
    assert (chosen.record["refit"]["iterations"], chosen.record["refit"]["converged"]) == (3, False)


class Talkative(LogisticRegression):
    def fit(self, x, y):
        warnings.warn("about something else", UserWarning, stacklevel=1)
        return super().fit(x, y)


def test_warnings_other_than_of_convergence_are_handed_on():
    with pytest.warns(UserWarning, match="something else"):
        assert converges(Talkative(max_iter=1000), *data())


def test_the_record_of_a_path_is_plain_numbers():
    rows, held = split()
    record = logistic_path(
        Rows(rows.features.astype(np.float32), rows.labels), held, strengths(), 1e-4, 1000
    ).record()
    lengths = {len(column) for column in record["path"].values()}
    assert len(lengths) == 1
    assert set(record["path"]) == {"strength", "iterations", "converged", "cold", "accuracy", "log_loss"}
    assert all(type(n) in (int, float, bool) for column in record["path"].values() for n in column)
