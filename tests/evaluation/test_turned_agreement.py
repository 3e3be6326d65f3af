from __future__ import annotations

import json

import numpy as np
import pytest
from feature_cells import information, probe_job, write_cell, write_turned
from sealed import resealed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import StandardScaler

from eqssl.evaluation.agreement import agreement
from eqssl.evaluation.parquet import feature_writer, read_features
from eqssl.evaluation.probing import evaluate

NAMES = [f"{p}_{view}" for p in ("agreement", "reg_agreement") for view in ("grid", "angle")]


def run(folder, **settings):
    evaluate(probe_job(**settings), folder / "eval", folder, folder / "probe")
    return json.loads((folder / "probe/metrics.json").read_text())


def drawn(moves, images, seed=0):
    random = np.random.default_rng(seed)
    unmoved = random.integers(4, size=images)
    changed = random.random((moves, images)) < 0.3
    return unmoved, np.where(changed, random.integers(4, size=(moves, images)), unmoved)


def test_share_and_interval_are_those_of_a_slow_loop():
    unmoved, moved = drawn(7, 30)
    random = np.random.Generator(np.random.Philox(key=[5, 0]))
    shares = []
    for _ in range(150):
        same = [moved[move, i] == unmoved[i] for i in random.integers(30, size=30) for move in range(7)]
        shares.append(sum(same) / 210)
    share, low, high = agreement(unmoved, moved, 150, 5)
    assert share == pytest.approx(accuracy_score(np.tile(unmoved, 7), moved.ravel()))
    assert [low, high] == pytest.approx(np.percentile(shares, [2.5, 97.5]).tolist())


def test_a_resample_takes_an_image_with_all_its_moves():
    """Images agree always or never, so that 15 moves say no more than one."""
    unmoved = np.zeros(200, int)
    moved = np.tile((np.arange(200) % 2)[None], (15, 1))
    low, high = agreement(unmoved, moved, 2000, 0)[1:]
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(200), rel=0.1)
    assert agreement(unmoved, moved[:1], 2000, 0)[1:] == (low, high)


@pytest.mark.parametrize(("prefix", "column"), [("agreement", "invariant"), ("reg_agreement", "regular")])
def test_agreement_is_that_of_the_probe_by_scikit_learn(tmp_path, prefix, column):
    write_cell(tmp_path, noise=4.0, turned=50)
    metrics = run(tmp_path, shares=(100,))
    record = metrics["details"]["probes"][column]["100"][0]
    train, val, turned = (
        read_features(tmp_path / f"eval/features/{name}.parquet", [column])
        for name in ("train", "val", "turned")
    )
    scaler = StandardScaler().fit(train.features[column].astype(float))
    x = scaler.transform(np.concatenate([train.features[column], val.features[column]]).astype(float))
    strength = record["strength"] * len(x)
    probe = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=20000)
    probe.fit(x, np.concatenate([train.labels, val.labels]))
    predicted = probe.predict(scaler.transform(turned.features[column].astype(float)))
    of_image = {}
    for row, key in enumerate(turned.keys):
        if turned.elements[row] == 0:
            of_image[key] = predicted[row]
    for view in ("grid", "angle"):
        same = [
            predicted[row] == of_image[key]
            for row, key in enumerate(turned.keys)
            if turned.views[row] == view
            and (turned.elements[row] > 0 if view == "grid" else turned.angles[row] > 0)
        ]
        assert len(same) == 50 * (7 if view == "grid" else 15)
        assert metrics[f"{prefix}_{view}"] == pytest.approx(np.mean(same), abs=0.01)
        assert metrics[f"{prefix}_{view}_lo"] < metrics[f"{prefix}_{view}"] < metrics[f"{prefix}_{view}_hi"]


def test_features_that_no_move_changes_agree_always_and_others_do_not(tmp_path):
    write_cell(tmp_path, noise=4.0, turned=50)
    assert all(run(tmp_path, shares=(100,))[name] < 1 for name in NAMES)
    path, info = tmp_path / "eval/features/turned.parquet", information(orders=(4,), fields=(5,))
    table = read_features(path, ["invariant", "regular"])
    still = {column: np.tile(values[:50], (24, 1)) for column, values in table.features.items()}
    with feature_writer(path, info) as writer:
        for view in ("grid", "angle"):
            rows = table.views == view
            writer.write(
                "test", view, list(np.array(table.keys)[rows]), table.labels[rows],
                {column: values[rows] for column, values in still.items()},
                angles=table.angles[rows], elements=table.elements[rows],
            )  # fmt: skip
    resealed(tmp_path / "eval/equivariance.json")
    metrics = run(tmp_path, shares=(100,))
    assert [metrics[name + end] for name in NAMES for end in ("", "_lo", "_hi")] == [1.0] * 12


def test_without_angles_there_is_the_agreement_over_the_grid_alone(tmp_path):
    write_cell(tmp_path, turned=50)
    write_turned(tmp_path / "eval/features/turned.parquet", information(), 50, mask="none")
    resealed(tmp_path / "eval/equivariance.json")
    found = {name for name in run(tmp_path, shares=(100,)) if "agreement" in name}
    assert found == {f"{p}_grid{end}" for p in ("agreement", "reg_agreement") for end in ("", "_lo", "_hi")}


def test_no_turned_images_and_no_labels_mean_no_agreement(tmp_path):
    write_cell(tmp_path / "off")
    assert not [name for name in run(tmp_path / "off", shares=(100,)) if "agreement" in name]
    unlabelled = lambda split, labels: np.full(len(labels), -1)  # noqa: E731
    write_cell(tmp_path / "unlabelled", turned=50, labels_of=unlabelled)
    metrics = run(tmp_path / "unlabelled")
    assert not [name for name in metrics if "agreement" in name]
    assert {"turn_r2", "turn_r2_invariant"} <= set(metrics)
