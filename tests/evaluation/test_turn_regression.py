from __future__ import annotations

import json

import numpy as np
import pytest
from feature_cells import information, probe_job, write_cell, write_turned
from sealed import resealed

from eqssl.evaluation.parquet import feature_writer, read_features
from eqssl.evaluation.probing import evaluate
from eqssl.evaluation.turn_regression import COMPONENTS, LEAST, PENALTIES, split_images, turn_r2
from eqssl.evaluation.turned import moves

DEGREES = np.arange(16) * 22.5
INFO = {"group": "C4", "orders": (4,), "fields": (6,)}


def run(folder, **settings):
    evaluate(probe_job(shares=(100,), **settings), folder / "eval", folder, folder / "probe")
    return json.loads((folder / "probe/metrics.json").read_text())


def fields(images, degrees, seed=0, first=None):
    """Regular features of C4 of images of every orientation: number h of a field is base(angle - 90 h).

    The mean over h, which is the invariant feature, changes with the angle as that of a network does, with a
    period of 90 degrees.
    """
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 360, (images, 1)) if first is None else first
    own = random.uniform(0.5, 1.5, (images, 6))
    h = 90 * np.arange(4)
    around = (
        np.deg2rad(phase + degrees)[:, :, None] + np.deg2rad(60 * np.arange(6))[None, :, None] - np.deg2rad(h)
    )
    return own[:, :, None] * (np.cos(around) + 0.3 * np.cos(4 * around) + 1)


def write_fields(folder, images, given=fields):
    """Replace the turned images of a cell by images of such features."""
    info = information(**INFO)
    keys, labels = [f"test-{i:04d}" for i in range(images)], np.arange(images) % 3
    with feature_writer(folder / "eval/features/turned.parquet", info) as writer:
        for view, element, degrees in moves("disc"):
            # reflections are not of interest here
            values = given(images, degrees if view == "angle" else 90 * max(0, element))
            features = {"regular": values.reshape(images, -1), "invariant": values.mean(2)}
            moved = (
                {"angles": np.full(images, degrees)}
                if view == "angle"
                else {"elements": np.full(images, element)}
            )
            writer.write("test", view, keys, labels, features, **moved)
    resealed(folder / "eval/equivariance.json")


@pytest.fixture
def cell(tmp_path):
    write_cell(tmp_path, turned=200, **{**INFO, "counts": (300, 60, 200)})
    write_fields(tmp_path, 200)
    return tmp_path


def slow_components(stored, others, known):
    """Standardised, on principal axes of the covariance, and scaled to a mean square of 1."""
    mean, deviation = stored[known].mean(0), stored[known].std(0)
    standard = [(values - mean) / deviation for values in (stored, *others)]
    centred = standard[0][known] - standard[0][known].mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, np.argsort(values)[::-1][:COMPONENTS]]
    found = []
    for one in standard:
        z = (one - standard[0][known].mean(0)) @ axes
        found.append(z / np.sqrt((z**2).mean(1, keepdims=True)))
    return found


def slow_r2(stored, moved, degrees, parts):
    """Normal equations of the centred regression, one pair after another."""

    def pairs(rows):
        x, y = [], []
        for angle, values in zip(np.deg2rad(degrees), moved, strict=True):
            for image in rows:
                x.append(np.outer([1, *stored[image]], [1, *values[image]]).ravel())
                y.append([np.cos(angle), np.sin(angle)])
        return np.array(x), np.array(y)

    def regressed(x, y, penalty, at):
        a, b = x - x.mean(0), y - y.mean(0)
        weights = np.linalg.solve(a.T @ a + penalty * len(x) * np.eye(x.shape[1]), a.T @ b)
        return (at - x.mean(0)) @ weights + y.mean(0)

    def r2(actual, predicted):
        rest, whole = ((actual - predicted) ** 2).sum(0), ((actual - actual.mean(0)) ** 2).sum(0)
        return float(np.mean(1 - rest / whole))

    (x, y), (v, w), (t, u) = (pairs(rows) for rows in parts)
    scores = {penalty: r2(w, regressed(x, y, penalty, v)) for penalty in PENALTIES}
    best = max(scores, key=lambda penalty: (scores[penalty], penalty))
    return r2(u, regressed(np.concatenate([x, v]), np.concatenate([y, w]), best, t)), best


def test_r2_is_that_of_the_normal_equations():
    random = np.random.default_rng(0)
    stored, moved = random.standard_normal((60, 5)), random.standard_normal((16, 60, 5))
    moved += np.einsum("t,nk->tnk", np.cos(np.deg2rad(DEGREES)), stored)
    parts = split_images(60, 3)
    found, details = turn_r2(stored, moved, DEGREES, parts)
    expected, penalty = slow_r2(stored, moved, DEGREES, parts)
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0.1 < found < 0.9
    assert (details["penalty"], len(details["path"])) == (penalty, len(PENALTIES))


def test_the_metrics_are_those_of_slow_components_and_the_normal_equations(tmp_path):
    write_cell(tmp_path, turned=60)
    metrics = run(tmp_path, seed=2)
    parts = split_images(60, 2)
    for name, column in (("turn_r2", "regular"), ("turn_r2_invariant", "invariant")):
        table = read_features(tmp_path / "eval/features/turned.parquet", [column])
        values = table.features[column].astype(float)
        stored = values[table.elements == 0]
        others = [values[(table.views == "angle") & (table.angles == degrees)] for degrees in DEGREES]
        known = np.concatenate([parts.fit, parts.choose])
        first, *moved = slow_components(stored, others, known)
        expected, penalty = slow_r2(first, np.stack(moved), DEGREES, parts)
        assert metrics["details"]["turns"][name]["penalty"] == penalty
        assert metrics[name] == pytest.approx(expected, abs=1e-4)
    assert metrics["details"]["turns"]["images"] == 60
    assert metrics["details"]["turns"]["degrees"] == DEGREES.tolist()


def test_no_image_is_in_two_parts_and_seeds_draw_others():
    parts = split_images(101, 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(101))
    assert [len(part) for part in parts] == [37, 13, 51]
    assert split_images(101, 1).test.tolist() != parts.test.tolist()


def test_the_turn_is_read_off_equivariant_features_and_not_off_invariant_ones(cell):
    metrics = run(cell)
    assert metrics["turn_r2"] > 0.8
    assert abs(metrics["turn_r2_invariant"]) < 0.02


def test_features_that_tell_no_turn_have_none_of_it(cell):
    """A control: the features of each moved image are those of another one, of unknown orientation."""

    def scrambled(images, degrees):
        return fields(images, degrees, seed=int(degrees * 10))

    write_fields(cell, 200, scrambled)
    assert run(cell)["turn_r2"] < 0.05


def test_an_invariant_feature_that_changes_with_the_turn_is_found_out(cell):
    """A control: the mean over h of a network that is not equivariant tells the angle."""

    def plain(images, degrees):
        return fields(images, degrees, first=np.zeros((images, 1)))[:, :, :1].repeat(4, 2)

    write_fields(cell, 200, plain)
    assert run(cell)["turn_r2_invariant"] > 0.5


def test_without_angles_the_turns_are_the_quarter_turns(tmp_path):
    write_cell(tmp_path, turned=60)
    write_turned(tmp_path / "eval/features/turned.parquet", information(), 60, mask="none")
    resealed(tmp_path / "eval/equivariance.json")
    metrics = run(tmp_path)
    assert metrics["details"]["turns"]["degrees"] == [0.0, 90.0, 180.0, 270.0]
    assert metrics["turn_r2"] < 0.3


def test_too_few_images_are_left_out_with_the_reason_and_none_without(tmp_path):
    write_cell(tmp_path / "few", turned=LEAST - 1)
    metrics = run(tmp_path / "few")
    assert metrics["details"]["left_out"] == ["turn of pairs: only 39 turned images, at least 40 are needed"]
    assert "turn_r2" not in metrics
    write_cell(tmp_path / "off")
    metrics = run(tmp_path / "off")
    assert (metrics["details"]["left_out"], metrics["details"]["turns"]) == ([], {})


def test_features_that_are_the_same_for_all_images_tell_nothing(cell):
    write_fields(cell, 200, lambda images, degrees: np.ones((images, 6, 4)))
    metrics = run(cell)
    assert (metrics["turn_r2"], metrics["turn_r2_invariant"]) == pytest.approx((0, 0), abs=1e-9)
