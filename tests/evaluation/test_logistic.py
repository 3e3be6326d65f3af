from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from eqssl.evaluation.linear import LinearProbe
from eqssl.evaluation.logistic import LogisticProblem
from eqssl.evaluation.probes import logistic_path, refit


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


def objective(x, y, probe, strength):
    """The loss, written out image by image."""
    total = 0.0
    for row, label in zip(x, y, strict=True):
        scores = [float(row @ probe.weights[:, k] + probe.bias[k]) for k in range(len(probe.bias))]
        top = max(scores)
        total += top + np.log(sum(np.exp(s - top) for s in scores)) - scores[label]
    return total / len(x) + strength / 2 * float((probe.weights**2).sum())


@pytest.mark.parametrize("strength", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("collinear", [False, True])
def test_it_is_scikit_learns_logistic_regression(strength, collinear):
    x, y = data(collinear=collinear)
    fit = LogisticProblem(x, y, 4).fit(strength, 1e-8, 2000)
    reference = LogisticRegression(
        C=1 / (strength * len(x)), tol=1e-9, solver="newton-cg", max_iter=5000
    ).fit(x, y)
    assert fit.converged
    assert np.allclose(fit.probe.weights, reference.coef_.T, rtol=1e-4, atol=1e-5)
    differences = fit.probe.bias - reference.intercept_
    assert np.allclose(differences, differences.mean(), atol=1e-4)
    assert np.array_equal(fit.probe.predict(x), reference.predict(x))


def test_two_classes_are_scikit_learns_with_half_the_penalty():
    x, y = data(classes=2)
    fit = LogisticProblem(x, y, 2).fit(1e-2, 1e-8, 2000)
    reference = LogisticRegression(C=2 / (1e-2 * len(x)), tol=1e-9, solver="newton-cg", max_iter=5000).fit(
        x, y
    )
    assert np.allclose(fit.probe.weights[:, 1] - fit.probe.weights[:, 0], reference.coef_[0], atol=1e-4)


def test_the_gradient_is_that_of_the_loss():
    x, y = data(60)
    problem = LogisticProblem(x, y, 4)
    scale = np.linspace(0.5, 2, 13)[:, None]
    point = np.random.default_rng(4).standard_normal(13 * 4)
    value, gradient = problem._loss(point, 0.1, scale)
    for entry in range(0, len(point), 7):
        step = np.zeros_like(point)
        step[entry] = 1e-6
        slope = (
            problem._loss(point + step, 0.1, scale)[0] - problem._loss(point - step, 0.1, scale)[0]
        ) / 2e-6
        assert slope == pytest.approx(gradient[entry], abs=1e-7)
    centred, axes = x - x.mean(0), problem._axes
    actual = point.reshape(13, 4) * scale
    assert value == pytest.approx(
        objective(centred, y, LinearProbe(axes @ actual[:-1], actual[-1]), 0.1), rel=1e-10
    )


def test_the_default_tolerance_leaves_nothing_to_gain():
    x, y = data(400)
    close = LogisticProblem(x.astype(np.float32), y, 4).fit(1e-4, 1e-4, 1000)
    exact = LogisticProblem(x, y, 4).fit(1e-4, 1e-9, 5000)
    assert close.converged
    loss, least = (objective(x, y, fit.probe, 1e-4) for fit in (close, exact))
    assert least <= loss <= least * (1 + 1e-5)
    # scikit-learn at the same tolerance, in its own coordinates, is several times further away
    plain = LogisticRegression(C=1 / (1e-4 * 400), tol=1e-4, max_iter=5000).fit(x, y)
    assert objective(x, y, LinearProbe(plain.coef_.T, plain.intercept_), 1e-4) > least + 3 * (loss - least)
    assert close.iterations * 2 < plain.n_iter_[0]


def test_the_intercept_is_not_penalised_and_the_start_does_not_matter():
    x, y = data()
    fit = LogisticProblem(x, y, 4).fit(0.1, 1e-9, 2000)
    shifted = LogisticProblem(x + 100, y, 4).fit(0.1, 1e-9, 2000)
    assert np.allclose(fit.probe.weights, shifted.probe.weights, atol=1e-6)
    start = LogisticProblem(x, y, 4).fit(1e-3, 1e-2, 2000).probe
    warm = LogisticProblem(x, y, 4).fit(0.1, 1e-9, 2000, start)
    assert np.allclose(fit.probe.weights, warm.probe.weights, atol=1e-6)


def test_too_few_iterations_are_no_convergence():
    x, y = data()
    fit = LogisticProblem(x, y, 4).fit(1e-4, 1e-6, 3)
    assert (fit.iterations, fit.converged) == (3, False)


def strengths(count=13, least=1e-6):
    return list(np.geomspace(1, least, count))


def split(seed=0, **settings):
    x, y = data(420, seed=seed, **settings)
    return (x[:240], y[:240]), (x[240:], y[240:])


def test_the_path_chooses_what_separate_fits_choose():
    for seed in range(3):
        (x, y), held = split(seed)
        path = logistic_path(x, y, held, 4, strengths(), 1e-7, 2000)
        accuracies = []
        for strength in strengths():
            model = LogisticRegression(
                C=1 / (strength * 240), tol=1e-9, solver="newton-cg", max_iter=5000
            ).fit(x, y)
            accuracies.append(model.score(*held))
        # argmax takes the first, the strongest penalty
        assert path.chosen == int(np.argmax(accuracies))
        done = len(path.points)
        assert [p.accuracy for p in path.points] == pytest.approx(accuracies[:done], abs=0.006)
        assert np.mean(path.probe.predict(held[0]) == held[1]) == path.points[path.chosen].accuracy
        assert path.edge == (path.chosen in (0, 12))


def test_ties_go_to_the_stronger_penalty_and_the_edge_is_flagged():
    _, y = data(120, collinear=False)
    far = 50 * np.eye(12)[y]
    path = logistic_path(far, y, (far, y), 4, strengths(), 1e-4, 1000)
    assert [point.accuracy for point in path.points][:2] == [1.0, 1.0]
    assert (path.chosen, path.edge, path.strength) == (0, True, 1.0)


def test_a_path_ends_when_it_only_overfits():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((24, 40)), np.arange(24) % 4
    x[:, 0] += y
    held = random.standard_normal((400, 40)), np.arange(400) % 4
    held[0][:, 0] += held[1]
    path = logistic_path(x, y, held, 4, strengths(), 1e-4, 1000)
    assert path.ended is not None
    assert path.ended.startswith("overfitting")
    assert len(path.points) < 13
    full = [LogisticProblem(x, y, 4).fit(s, 1e-4, 1000).probe for s in strengths()]
    accuracies = [np.mean(probe.predict(held[0]) == held[1]) for probe in full]
    assert path.points[path.chosen].accuracy == pytest.approx(max(accuracies), abs=0.03)


def test_a_path_that_stands_still_is_noticed():
    (x, y), held = split()
    # a tolerance so loose that a fit which starts from the one before makes no step
    first = LogisticProblem(x, y, 4).fit(1.0, 0.2, 1000)
    assert LogisticProblem(x, y, 4).fit(strengths()[1], 0.2, 1000, first.probe).iterations == 0
    path = logistic_path(x, y, held, 4, strengths(), 0.2, 1000)
    assert any(point.cold for point in path.points)
    assert all(point.iterations > 0 for point in path.points)
    assert path.points[-1].accuracy > path.points[0].accuracy + 0.1
    assert not any(point.cold for point in logistic_path(x, y, held, 4, strengths(), 1e-4, 1000).points)


def test_a_path_ends_where_the_penalty_no_longer_matters():
    (x, y), held = split()
    # a third of the labels says nothing: no weights separate the classes
    y = np.where(np.arange(len(y)) % 3 == 0, np.random.default_rng(0).permutation(y), y)
    weak = list(np.geomspace(1e-9, 1e-12, 13))
    path = logistic_path(x, y, held, 4, weak, 1e-4, 1000)
    assert path.points[-1].cold
    assert path.ended == "the penalty is too small to matter"
    assert len(path.points) < 13


def test_a_fit_from_its_own_solution_is_done_again_from_zero():
    (x, y), _ = split()
    problem = LogisticProblem(x, y, 4)
    solution = problem.fit(0.1, 1e-9, 1000).probe
    fit, cold = refit(problem, 0.1, 1e-4, 1000, solution)
    assert cold
    assert fit.iterations > 0
    assert np.allclose(fit.probe.weights, solution.weights, atol=1e-3)


def test_the_record_of_a_path_is_plain_numbers():
    (x, y), held = split()
    record = logistic_path(x, y, held, 4, strengths(), 1e-4, 1000).record()
    lengths = {len(column) for column in record["path"].values()}
    assert len(lengths) == 1
    assert set(record["path"]) == {"strength", "iterations", "converged", "cold", "accuracy", "log_loss"}
    assert all(type(n) in (int, float, bool) for column in record["path"].values() for n in column)
