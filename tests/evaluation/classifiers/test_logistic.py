from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from eqssl.evaluation.classifiers.base import Rows
from eqssl.evaluation.classifiers.logistic import fit, logistic_path
from eqssl.evaluation.classifiers.path import PATIENCE


def data(n=200, width=12, classes=4, seed=0, collinear=True):
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    points = np.random.default_rng(50).standard_normal((classes, width))
    x = points[y] + 1.5 * random.standard_normal((n, width))
    if collinear:
        x = x @ np.random.default_rng(1).standard_normal((width, width)) * np.geomspace(1, 1e-3, width)
        x = x @ np.linalg.qr(np.random.default_rng(2).standard_normal((width, width)))[0]
        x = x / x.std(0) + 3
    return x, y


def strengths(count=13, least=1e-6):
    return [float(strength) for strength in np.geomspace(1, least, count)]


def split(seed=0, **settings):
    x, y = data(420, seed=seed, **settings)
    return Rows(x[:240], y[:240]), Rows(x[240:], y[240:])


def unfitted(tolerance=1e-4, iterations=1000):
    return LogisticRegression(tol=tolerance, max_iter=iterations, warm_start=True)


def exact(x, y, strength):
    """The solution of another solver."""
    return LogisticRegression(C=1 / (strength * len(x)), tol=1e-9, solver="newton-cg", max_iter=5000).fit(
        x, y
    )


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("strength", [1.0, 1e-2, 1e-4])
def test_strength_is_the_penalty_on_the_mean_loss(strength, classes):
    x, y = data(classes=classes, collinear=False)
    probe, _, converged, cold = fit(unfitted(1e-8, 5000), strength, Rows(x, y))
    reference = exact(x, y, strength)
    assert (converged, cold) == (True, False)
    assert np.allclose(probe.coef_, reference.coef_, rtol=1e-3, atol=1e-3)
    assert np.array_equal(probe.predict(x), reference.predict(x))


def test_too_few_iterations_are_recorded_and_not_printed():
    x, y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe, _, converged, _ = fit(unfitted(1e-6, 3), 1e-4, Rows(x, y))
        path = logistic_path(Rows(x, y), Rows(x, y), strengths(), 1e-6, 3)
    assert (probe.n_iter_[0], converged) == (3, False)
    assert not path.points[-1].converged


class Talkative(LogisticRegression):
    def fit(self, x, y):
        warnings.warn("about something else", UserWarning, stacklevel=1)
        return super().fit(x, y)


def test_warnings_other_than_of_convergence_are_handed_on():
    x, y = data()
    with pytest.warns(UserWarning, match="something else"):
        _, _, converged, _ = fit(Talkative(max_iter=1000), 1e-2, Rows(x, y))
    assert converged


def test_a_start_saves_iterations_and_stays_as_it_is():
    x, y = data()
    start, _, _, _ = fit(unfitted(), 1e-2, Rows(x, y))
    before = start.coef_.copy()
    warm, _, _, cold = fit(start, 5e-3, Rows(x, y))
    assert not cold
    assert 0 < warm.n_iter_[0] < fit(unfitted(), 5e-3, Rows(x, y)).iterations
    assert np.array_equal(start.coef_, before)
    assert start.C == 1 / (1e-2 * 200)


def test_a_fit_from_its_own_solution_is_done_again_from_zero():
    (x, y), _ = split()
    solution, _, _, _ = fit(unfitted(1e-7, 5000), 0.1, Rows(x, y))
    again, _, converged, cold = fit(solution.set_params(tol=1e-4), 0.1, Rows(x, y))
    assert (converged, cold) == (True, True)
    assert again.n_iter_[0] > 0
    assert np.allclose(again.coef_, solution.coef_, atol=1e-2)
    assert not np.array_equal(again.coef_, solution.coef_)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_path_chooses_what_separate_fits_choose(classes):
    for seed in range(3):
        (x, y), held = split(seed, classes=classes, collinear=False)
        path = logistic_path(Rows(x, y), held, strengths(), 1e-7, 5000)
        accuracies = [exact(x, y, strength).score(*held) for strength in strengths()]
        # argmax takes the first, the strongest penalty
        assert path.chosen == int(np.argmax(accuracies))
        done = len(path.points)
        assert [p.accuracy for p in path.points] == pytest.approx(accuracies[:done], abs=0.006)
        assert np.mean(path.probe.predict(held[0]) == held[1]) == path.points[path.chosen].accuracy
        assert path.edge == (path.chosen in (0, 12))


def test_the_log_loss_is_the_mean_over_validation_images():
    (x, y), held = split()
    path = logistic_path(Rows(x, y), held, strengths(), 1e-4, 1000)
    total = 0.0
    for row, label in zip(*held, strict=True):
        scores = [float(row @ path.probe.coef_[k] + path.probe.intercept_[k]) for k in range(4)]
        total += np.log(sum(np.exp(s - scores[label]) for s in scores))
    assert path.points[path.chosen].loss == pytest.approx(total / len(held[1]))


def test_ties_go_to_the_stronger_penalty_and_the_edge_is_flagged():
    _, y = data(120, collinear=False)
    far = 50 * np.eye(12)[y]
    path = logistic_path(Rows(far, y), Rows(far, y), strengths(), 1e-4, 1000)
    assert [point.accuracy for point in path.points][:2] == [1.0, 1.0]
    assert (path.chosen, path.edge, path.strength) == (0, True, 1.0)


def test_a_path_ends_when_it_only_overfits():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((24, 40)), np.arange(24) % 4
    x[:, 0] += y
    held = Rows(random.standard_normal((400, 40)), np.arange(400) % 4)
    held[0][:, 0] += held[1]
    path = logistic_path(Rows(x, y), held, strengths(), 1e-4, 1000)
    assert path.ended is not None
    assert path.ended.startswith("overfitting")
    last = len(path.points) - 1
    losses = [point.loss for point in path.points]
    assert max(int(np.argmin(losses)), path.chosen) == last - PATIENCE
    accuracies = [exact(x, y, strength).score(*held) for strength in strengths()]
    assert path.points[path.chosen].accuracy == pytest.approx(max(accuracies), abs=0.03)


def test_a_path_that_stands_still_is_noticed():
    (x, y), held = split()
    # a tolerance so loose that fits which start from the one before make no step
    path = logistic_path(Rows(x, y), held, strengths(), 0.2, 1000)
    assert any(point.cold for point in path.points)
    assert all(point.iterations > 0 for point in path.points)
    assert path.points[-1].loss < path.points[0].loss - 0.1
    assert not any(point.cold for point in logistic_path(Rows(x, y), held, strengths(), 1e-4, 1000).points)


def test_a_path_ends_where_the_penalty_no_longer_matters():
    (x, y), held = split()
    # a third of the labels says nothing: no weights separate the classes
    y = np.where(np.arange(len(y)) % 3 == 0, np.random.default_rng(0).permutation(y), y)
    weak = [float(strength) for strength in np.geomspace(1e-9, 1e-12, 13)]
    path = logistic_path(Rows(x, y), held, weak, 1e-4, 1000)
    assert path.points[-1].cold
    assert path.ended == "the penalty is too small to matter"
    assert len(path.points) < 13


def test_the_record_of_a_path_is_plain_numbers():
    (x, y), held = split()
    record = logistic_path(Rows(x.astype(np.float32), y), held, strengths(), 1e-4, 1000).record()
    lengths = {len(column) for column in record["path"].values()}
    assert len(lengths) == 1
    assert set(record["path"]) == {"strength", "iterations", "converged", "cold", "accuracy", "log_loss"}
    assert all(type(n) in (int, float, bool) for column in record["path"].values() for n in column)
