from __future__ import annotations

import numpy as np
import pytest
from feature_cells import information, write_cell
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from eqssl.evaluation.parquet import read_features
from eqssl.evaluation.ridge import Moments, ridge_accuracies, ridge_path
from eqssl.evaluation.standardise import Standardiser

STRENGTHS = list(np.geomspace(1, 1e-6, 13))


def data(n=150, width=9, seed=0, offset=0.0):
    random = np.random.default_rng(seed)
    y = random.integers(3, size=n)
    x = np.random.default_rng(5).standard_normal((3, width))[y] + random.standard_normal((n, width))
    return (x * np.linspace(0.1, 4, width) + offset).astype(np.float32), y


def batches(x, y, size):
    return ((x[i : i + size], y[i : i + size]) for i in range(0, len(y), size))


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_every_strength_is_scikit_learns_ridge_classifier(offset):
    x, y = data(offset=offset)
    moments = Moments.of(batches(x, y, 40), 3, 9)
    probes = ridge_path(moments, moments.standardiser(), STRENGTHS)
    z = StandardScaler().fit_transform(x.astype(np.float64))
    for strength, probe in zip(STRENGTHS, probes, strict=True):
        reference = RidgeClassifier(alpha=strength * len(x)).fit(z, y)
        assert np.allclose(probe.weights, reference.coef_.T, atol=1e-6)
        assert np.allclose(probe.bias, reference.intercept_, atol=1e-6)
        assert np.array_equal(probe.predict(z), reference.predict(z))


def test_sums_do_not_depend_on_the_batches_and_add_up():
    x, y = data()
    whole = Moments.of(batches(x, y, 150), 3, 9, np.zeros(9))
    parts = Moments.of(batches(x[:70], y[:70], 9), 3, 9, np.zeros(9))
    parts = parts + Moments.of(batches(x[70:], y[70:], 31), 3, 9, np.zeros(9))
    for name in ("count", "x", "y", "xx", "xy"):
        assert np.allclose(getattr(whole, name), getattr(parts, name), rtol=1e-12)
    direct = Standardiser.fit(x)
    assert np.allclose(whole.standardiser().mean, direct.mean)
    assert np.allclose(whole.standardiser().scale, direct.scale)


def test_a_constant_feature_has_scale_zero_and_finite_weights():
    x, y = data(offset=7.0)
    x[:, 2] = 7.1
    standardiser = Standardiser.fit(x)
    assert standardiser.scale[2] == 0
    assert np.abs(standardiser(x)).max() < 10
    moments = Moments.of(batches(x, y, 40), 3, 9)
    assert moments.standardiser().scale[2] == 0
    assert all(np.isfinite(p.weights).all() for p in ridge_path(moments, moments.standardiser(), STRENGTHS))


def test_files_are_chosen_on_validation_and_tested_on_every_view(tmp_path):
    evaluation, _ = write_cell(tmp_path, noise=6.0)
    files = {split: evaluation / "features" / f"{split}.parquet" for split in ("train", "val", "test")}
    for column in ("invariant", "regular_2"):
        result = ridge_accuracies(files, column, 3, STRENGTHS)
        train, val, test = (read_features(file, [column]) for file in files.values())
        scaler = StandardScaler().fit(train.features[column].astype(np.float64))
        z = [scaler.transform(t.features[column].astype(np.float64)) for t in (train, val, test)]
        scores = [
            RidgeClassifier(alpha=s * len(z[0])).fit(z[0], train.labels).score(z[1], val.labels)
            for s in STRENGTHS
        ]
        best = int(np.argmax(scores))
        assert result["path"] == pytest.approx(scores)
        assert result["strength"] == STRENGTHS[best]
        both, labels = np.concatenate(z[:2]), np.concatenate([train.labels, val.labels])
        final = RidgeClassifier(alpha=STRENGTHS[best] * len(both)).fit(both, labels)
        for view in ("stored", "grid", "angle"):
            rows = test.views == view
            assert result["test"][view] == pytest.approx(final.score(z[2][rows], test.labels[rows]))
    assert set(information().widths) == {"invariant", "regular", "invariant_2", "regular_2"}
