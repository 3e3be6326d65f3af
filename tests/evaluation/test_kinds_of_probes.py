"""Ridge, SVM and earlier stages beside logistic regression on the last stage."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from feature_cells import probe_job, write_cell
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from eqssl.evaluation.correct import read_correct
from eqssl.evaluation.draws import nested_draws
from eqssl.evaluation.parquet import read_features
from eqssl.evaluation.probing import evaluate

KINDS = ("logistic", "ridge", "svm")
VIEWS = ("stored", "grid", "angle")


def run(folder, **settings):
    evaluate(probe_job(**settings), folder / "eval", folder, folder / "probe")
    return json.loads((folder / "probe/metrics.json").read_text())


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    write_cell(folder, noise=4.0)
    return folder, run(folder, classifiers=KINDS, stages=2)


def standardised(folder, column):
    """Features and labels of the splits, in float64 as scikit-learn standardises them."""
    tables = [
        read_features(folder / f"eval/features/{s}.parquet", [column]) for s in ("train", "val", "test")
    ]
    scaler = StandardScaler().fit(tables[0].features[column].astype(np.float64))
    return tables, [scaler.transform(table.features[column].astype(np.float64)) for table in tables]


def reference(kind, strength, x, y):
    n = len(x)
    model = {
        "logistic": LogisticRegression(C=1 / (strength * n), tol=1e-8, max_iter=20000),
        "ridge": RidgeClassifier(alpha=strength * n),
        "svm": LinearSVC(C=1 / (strength * n), dual=False, tol=1e-4, random_state=0),
    }
    return model[kind].fit(x, y)


def named(kind, column):
    feature, _, stage = column.partition("_")
    words = [f"stage_{stage}_" if stage else "", "reg_" if feature == "regular" else ""]
    return "".join(words) + ("" if kind == "logistic" else f"{kind}_")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["invariant", "regular", "invariant_2", "regular_2"])
def test_accuracies_are_scikit_learns_at_the_recorded_strength(cell, kind, column):
    folder, metrics = cell
    (train, val, test), (x, v, t) = standardised(folder, column)
    record = metrics["details"]["probes"][column if kind == "logistic" else f"{kind}_{column}"]
    both, labels = np.concatenate([x, v]), np.concatenate([train.labels, val.labels])
    final = reference(kind, record["100"][0]["strength"], both, labels)
    draws = nested_draws(train.labels, [10], 3, "abc", 0)[10]
    few = [
        reference(kind, entry["strength"], x[rows], train.labels[rows])
        for entry, rows in zip(record["10"], draws, strict=True)
    ]
    for view in VIEWS:
        rows = test.views == view
        score = final.score(t[rows], test.labels[rows])
        assert metrics[f"{named(kind, column)}acc_{view}_100"] == pytest.approx(score, abs=0.012)
        score = np.mean([model.score(t[rows], test.labels[rows]) for model in few])
        assert metrics[f"{named(kind, column)}acc_{view}_10"] == pytest.approx(score, abs=0.008)


def test_ridge_with_all_labels_is_what_one_pass_over_the_files_gives(cell):
    _, metrics = cell
    for column in ("invariant", "regular", "invariant_2", "regular_2"):
        once = metrics["details"]["ridge"][column]
        (entry,) = metrics["details"]["probes"][f"ridge_{column}"]["100"]
        assert entry["strength"] == once["strength"]
        for view in VIEWS:
            assert metrics[f"{named('ridge', column)}acc_{view}_100"] == once["test"][view]


def test_every_accuracy_has_an_interval_and_a_column_of_correct_images(cell):
    folder, metrics = cell
    table = read_correct(folder / "probe/correct.parquet")
    columns = ("invariant", "regular", "invariant_2", "regular_2")
    for kind, column, view, share in product(KINDS, columns, VIEWS, (1, 10, 100)):
        name = f"{named(kind, column)}acc_{view}_{share}"
        assert metrics[f"{name}_lo"] <= metrics[name] <= metrics[f"{name}_hi"]
        assert table.shares(name).mean() == pytest.approx(metrics[name], abs=1e-12)
        assert (f"{name}" in metrics["details"]["draws"]) == (share < 100)


def test_what_else_is_probed_does_not_change_the_default_columns(cell, tmp_path):
    write_cell(tmp_path, noise=4.0)
    alone = run(tmp_path)
    assert all(cell[1][name] == alone[name] for name in alone if name not in ("details", "seal", "files"))
    assert set(alone["details"]["probes"]) == {"invariant", "regular"}
    assert not [name for name in alone if name.startswith(("svm", "ridge", "stage", "reg_svm"))]


def test_more_stages_than_the_files_have_are_refused(tmp_path):
    write_cell(tmp_path)
    with pytest.raises(ValueError, match=r"probe\.stages: given 3, allowed: 1 to 2, the stages of .*train"):
        run(tmp_path, stages=3)
    assert not (tmp_path / "probe").exists()


def test_the_default_probe_is_five_lines_of_scikit_learn(tmp_path):
    write_cell(tmp_path, noise=4.0, counts=(900, 150, 300))
    metrics = run(tmp_path)
    for column, prefix in (("invariant", "acc"), ("regular", "reg_acc")):
        train, val, test = (
            read_features(tmp_path / f"eval/features/{s}.parquet", [column]) for s in ("train", "val", "test")
        )
        record = metrics["details"]["probes"][column]["100"][0]
        scaler = StandardScaler().fit(train.features[column])
        x = scaler.transform(np.concatenate([train.features[column], val.features[column]]))
        y = np.concatenate([train.labels, val.labels])
        probe = LogisticRegression(C=1 / (record["strength"] * len(x)), max_iter=1000).fit(x, y)
        for view in VIEWS:
            rows = test.views == view
            score = probe.score(scaler.transform(test.features[column][rows]), test.labels[rows])
            assert metrics[f"{prefix}_{view}_100"] == score
        assert record["refit"]["iterations"] == probe.n_iter_[0]
