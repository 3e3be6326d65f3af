from __future__ import annotations

import numpy as np
import pytest
from feature_cells import probe_settings
from sklearn.linear_model import RidgeClassifier

from eqssl.evaluation.classifiers import CLASSIFIERS
from eqssl.evaluation.classifiers import ridge as ridge_module
from eqssl.evaluation.classifiers.base import Rows, strengths
from eqssl.evaluation.classifiers.ridge import choose


def data(n, seed, classes=3):
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = np.random.default_rng(5).standard_normal((classes, 8))[y] + 2 * random.standard_normal((n, 8)) + 1
    return Rows(x.astype(np.float32), y)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("block", [64, 10_000])
def test_the_choice_is_that_of_scikit_learn(classes, refit, block, monkeypatch):
    monkeypatch.setattr(ridge_module, "BLOCK", block)
    rows, held, settings = data(300, 0, classes), data(200, 1, classes), probe_settings()
    chosen = choose(rows, held, settings, refit)

    def reference(strength, rows):
        x = rows.features.astype(np.float64)
        return RidgeClassifier(alpha=strength * len(x)).fit(x, rows.labels)

    scores = [reference(s, rows).score(*held) for s in strengths(settings)]
    assert chosen.record["path"]["accuracy"] == pytest.approx(scores)
    assert chosen.record["strength"] == strengths(settings)[int(np.argmax(scores))]
    assert chosen.record["edge"] == (int(np.argmax(scores)) in (0, 12))
    final = reference(chosen.record["strength"], rows.joined(held) if refit else rows)
    test = data(500, 2, classes).features
    assert np.array_equal(chosen.probe.predict(test), final.predict(test))


def test_the_registry_has_every_kind_that_the_settings_allow():
    settings = probe_settings(classifiers=("logistic", "ridge", "svm"))
    assert set(settings.classifiers) == set(CLASSIFIERS)
    for kind in settings.classifiers:
        chosen = CLASSIFIERS[kind](data(90, 0), data(60, 1), settings, True)
        assert set(chosen.record) >= {"strength", "accuracy", "edge", "ended", "path"}
