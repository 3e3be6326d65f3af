from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from feature_cells import CLASSES, JOB, columns, information, probe_job, write_cell
from sealed import resealed, seal_in
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from eqssl.config.settings import digest
from eqssl.evaluation.parquet import feature_writer, read_features
from eqssl.evaluation.probing import evaluate
from eqssl.machine.files import sha256


def run(folder, **settings):
    evaluation, encoder = folder / "eval", folder
    evaluate(probe_job(**settings), evaluation, encoder, folder / "probe")
    return json.loads((folder / "probe/metrics.json").read_text())


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cell")
    write_cell(folder, noise=4.0, turned=60)
    return folder, run(folder)


def features(folder, split, column):
    table = read_features(folder / f"eval/features/{split}.parquet", [column])
    return table, table.features[column].astype(np.float64)


def test_metrics_are_flat_numbers_with_the_agreed_names(cell):
    apart = ("details", "files", "made_of", "seal")
    metrics = {key: value for key, value in cell[1].items() if key not in apart}
    expected = {"dataset", "group", "pretext", "seed", "parameters", "flops", "epochs"}
    expected |= {"equivariance_error", "seconds_pretrain"}
    expected |= {"retrieval_hit_1", "retrieval_hit_5", "retrieval_mrr", "turn_r2", "turn_r2_invariant"}
    agreements = [f"{p}_{view}" for p in ("agreement", "reg_agreement") for view in ("grid", "angle")]
    expected |= {name + end for name in agreements for end in ("", "_lo", "_hi")}
    for view in ("stored", "grid", "angle"):
        names = [f"{p}_{view}_{share}" for p in ("acc", "reg_acc") for share in (1, 10, 100)] + [
            f"knn_{view}"
        ]
        expected |= {name + end for name in names for end in ("", "_lo", "_hi")}
    assert set(metrics) == expected
    assert (metrics["epochs"], metrics["seconds_pretrain"], metrics["equivariance_error"]) == (2, 1.5, 1e-7)
    for name, value in metrics.items():
        if "acc" in name or "knn" in name or "agreement" in name:
            assert 0 <= value <= 1
        if name + "_lo" in metrics:
            assert metrics[name + "_lo"] <= value <= metrics[name + "_hi"]
            assert metrics[name + "_lo"] < metrics[name + "_hi"]
    assert metrics["acc_stored_100"] > metrics["acc_angle_100"]
    assert metrics["acc_stored_100"] >= metrics["acc_stored_1"]


def test_what_pretraining_measured_is_copied_whatever_its_names(tmp_path):
    write_cell(tmp_path)
    measured = {"pretext_accuracy": 0.5, "pretext_uniformity": -1.25}
    resealed(tmp_path / "pretrain.json", lambda values: values.update(measured=measured))
    metrics = run(tmp_path)
    assert (metrics["pretext_accuracy"], metrics["pretext_uniformity"]) == (0.5, -1.25)


@pytest.mark.parametrize(("prefix", "column"), [("acc", "invariant"), ("reg_acc", "regular")])
def test_all_labels_are_what_scikit_learn_makes_of_the_same_choice(cell, prefix, column):
    folder, metrics = cell
    train, x = features(folder, "train", column)
    val, v = features(folder, "val", column)
    test, t = features(folder, "test", column)
    scaler = StandardScaler().fit(x)
    x, v, t = (scaler.transform(values) for values in (x, v, t))
    strengths = np.geomspace(1, 1e-6, 13)

    def fitted(rows, labels, strength):
        return LogisticRegression(C=1 / (strength * len(rows)), tol=1e-8, max_iter=20000).fit(rows, labels)

    scores = [fitted(x, train.labels, s).score(v, val.labels) for s in strengths]
    record = metrics["details"]["probes"][column]["100"][0]
    assert record["accuracy"] == pytest.approx(max(scores), abs=0.017)
    final = fitted(np.concatenate([x, v]), np.concatenate([train.labels, val.labels]), record["strength"])
    for view in ("stored", "grid", "angle"):
        rows = test.views == view
        assert metrics[f"{prefix}_{view}_100"] == pytest.approx(
            final.score(t[rows], test.labels[rows]), abs=0.012
        )


def test_few_labels_are_the_mean_over_draws(cell):
    details = cell[1]["details"]
    for share in (1, 10):
        draws = details["draws"][f"acc_stored_{share}"]
        assert len(draws) == 3
        assert np.mean(draws) == pytest.approx(cell[1][f"acc_stored_{share}"])
        assert len(details["probes"]["invariant"][str(share)]) == 3
    assert "acc_stored_100" not in details["draws"]


def test_neighbours_are_scikit_learns_with_training_and_validation_images(cell):
    folder, metrics = cell
    train, x = features(folder, "train", "invariant")
    val, v = features(folder, "val", "invariant")
    test, t = features(folder, "test", "invariant")
    reference = KNeighborsClassifier(
        5, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
    ).fit(np.concatenate([x, v]), np.concatenate([train.labels, val.labels]))
    for view in ("stored", "grid", "angle"):
        rows = test.views == view
        assert metrics[f"knn_{view}"] == pytest.approx(reference.score(t[rows], test.labels[rows]))


def test_predictions_are_those_of_the_invariant_probe(cell):
    folder, metrics = cell
    with (folder / "probe/predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["actual", "predicted"]
    assert len(rows) == 91
    assert [row[0] for row in rows[1:]] == [CLASSES[i % 3] for i in range(90)]
    assert np.mean([a == p for a, p in rows[1:]]) == pytest.approx(metrics["acc_stored_100"])


def test_angles_are_bins_of_15_degrees(cell):
    folder, metrics = cell
    bins = metrics["details"]["angles"]
    angles = read_features(folder / "eval/features/test.parquet", []).view("angle").angles
    assert all((b["degrees"] - 7.5) % 15 == 0 for b in bins)
    for b in bins:
        assert b["n"] == int(((angles >= b["degrees"] - 7.5) & (angles < b["degrees"] + 7.5)).sum()) > 0
        assert b["lo"] <= b["acc"] <= b["hi"]
    assert sum(b["n"] for b in bins) == 90
    assert sum(b["n"] * b["acc"] for b in bins) / 90 == pytest.approx(metrics["acc_angle_100"])


def test_details_say_how_everything_came_to_be(cell):
    details = cell[1]["details"]
    assert details["encoder"]["weights_sha256"] == "e" * 64
    assert details["pretrain"] == {"epochs": 2, "seconds": 1.5}
    assert details["probe"]["strengths"] == [1e-6, 1.0, 13]
    assert set(details["ridge"]) == {"invariant", "regular", "invariant_2", "regular_2"}
    assert "numpy" in details["versions"]
    assert 0 < details["prediction_change"]["invariant"] < 1
    assert details["probes"]["regular"]["100"][0]["refit"]["converged"]


def test_the_same_inputs_give_the_same_bytes(cell, tmp_path):
    folder, _ = cell
    evaluate(probe_job(), folder / "eval", folder, tmp_path)
    for file in ("metrics.json", "predictions.csv", "correct.parquet"):
        assert (tmp_path / file).read_bytes() == (folder / "probe" / file).read_bytes()
    evaluate(probe_job(seed=1), folder / "eval", folder, tmp_path)
    assert (tmp_path / "metrics.json").read_bytes() != (folder / "probe/metrics.json").read_bytes()


def test_the_trivial_group_s_features_are_probed_once(tmp_path):
    write_cell(tmp_path, group="trivial", orders=(1,), fields=(5,))
    metrics = run(tmp_path, shares=(100,))
    assert metrics["reg_acc_stored_100"] == metrics["acc_stored_100"]
    assert "acc_stored_1" not in metrics
    assert metrics["details"]["probes"]["regular"] == metrics["details"]["probes"]["invariant"]


def refused(folder, message, **settings):
    with pytest.raises(ValueError, match=message) as caught:
        run(folder, **settings)
    assert "\n" not in str(caught.value)
    assert not (folder / "probe").exists()


def test_features_of_another_encoder_are_refused(tmp_path):
    write_cell(tmp_path)
    encoder = resealed(tmp_path / "encoder.json", lambda values: values.update(weights_sha256="f" * 64))
    for name in ("pretrain.json", "eval/equivariance.json"):
        resealed(tmp_path / name, encoder=encoder)
    refused(tmp_path, r"train\.parquet: metadata eqssl\.encoder: made with weights 'e+', but .* 'f+'")


def test_files_of_different_data_are_refused(tmp_path):
    write_cell(tmp_path)
    write_cell(tmp_path / "other", data="0" * 64)
    (tmp_path / "other/eval/features/val.parquet").replace(tmp_path / "eval/features/val.parquet")
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, r"val\.parquet: metadata eqssl\.data: '0+', but train\.parquet has 'd+'")


def test_views_of_different_images_are_refused(tmp_path):
    write_cell(tmp_path)
    path = tmp_path / "eval/features/test.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 179), path)
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, r"test\.parquet: column key: view 'grid' is not of the images of 'stored'")


@pytest.mark.parametrize(("split", "lost"), [("train", 1), ("val", 59), ("test", 1)])
def test_a_file_with_fewer_images_than_were_recorded_is_refused(tmp_path, split, lost):
    write_cell(tmp_path)
    path = tmp_path / f"eval/features/{split}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(lost), path)
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, rf"{split}\.parquet: holds \d+ images, equivariance\.json states \d+")


def test_training_features_of_another_view_are_refused(tmp_path):
    write_cell(tmp_path)
    info, labels = information(), np.arange(300) % 3
    keys = [f"train-{i:04d}" for i in range(300)]
    with feature_writer(tmp_path / "eval/features/train.parquet", info) as writer:
        writer.write("train", "grid", keys, labels, columns(info, labels, 1.0, 0), elements=labels)
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, r"train\.parquet: column view: key 'train-0000' is of view 'grid', wanted: stored")


def test_a_file_without_rows_is_refused(tmp_path):
    write_cell(tmp_path)
    with feature_writer(tmp_path / "eval/features/val.parquet", information()):
        pass
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, r"val\.parquet: has no rows")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_truncated_file_is_refused(tmp_path, split):
    write_cell(tmp_path)
    path = tmp_path / f"eval/features/{split}.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    refused(tmp_path, rf"{split}\.parquet: SHA-256 is [0-9a-f]+, but equivariance\.json states [0-9a-f]+")
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, rf"{split}\.parquet: not a whole Parquet file")


@pytest.mark.parametrize(("split", "other"), [("train", "val"), ("val", "train"), ("test", "val")])
def test_a_file_of_another_split_is_refused(tmp_path, split, other):
    write_cell(tmp_path)
    shutil.copy(tmp_path / f"eval/features/{other}.parquet", tmp_path / f"eval/features/{split}.parquet")
    resealed(tmp_path / "eval/equivariance.json")
    reason = rf"column split: key '{other}-0000' is of split '{other}', wanted: {split}"
    refused(tmp_path, rf"{split}\.parquet: {reason}")


@pytest.mark.parametrize(("split", "other"), [("val", "train"), ("test", "train"), ("test", "val")])
def test_an_image_in_two_splits_is_refused(tmp_path, split, other):
    write_cell(tmp_path)
    info, labels = information(), np.arange(60) % 3
    with feature_writer(tmp_path / f"eval/features/{split}.parquet", info) as writer:
        keys = [f"{other}-0007", *(f"new-{i}" for i in range(59))]
        writer.write(split, "stored", keys, labels, columns(info, labels, 1.0, 0))
    resealed(tmp_path / "eval/equivariance.json", lambda values: values["rows"].update({split: 60}))
    reason = rf"column key: key '{other}-0007' is in (train|val)\.parquet too"
    refused(tmp_path, rf"(train|test)\.parquet: {reason}")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_image_that_is_there_twice_is_refused(tmp_path, split):
    write_cell(tmp_path)
    info, labels = information(), np.arange(60) % 3
    with feature_writer(tmp_path / f"eval/features/{split}.parquet", info) as writer:
        keys = [f"new-{i % 59}" for i in range(60)]
        writer.write(split, "stored", keys, labels, columns(info, labels, 1.0, 0))
    resealed(tmp_path / "eval/equivariance.json")
    refused(tmp_path, rf"{split}\.parquet: column key: key 'new-0' is there twice")


@pytest.mark.parametrize("name", ["pretrain.json", "eval/equivariance.json"])
def test_records_that_were_made_of_another_encoder_are_refused(tmp_path, name):
    write_cell(tmp_path)
    write_cell(tmp_path / "other", group="C2", orders=(2, 2))
    (tmp_path / "other" / name).replace(tmp_path / name)
    refused(tmp_path, rf"{Path(name).stem}\.json: was not made of this encoder: given .*encoder\.json")


def test_an_encoder_of_another_cell_is_refused(tmp_path):
    evaluation, encoder = write_cell(tmp_path)
    with pytest.raises(ValueError, match=r"encoder\.json: job: made by job \w{8}, but 00000000 is wanted"):
        evaluate(probe_job(), evaluation, encoder, tmp_path / "probe", cell="00000000")
    assert not (tmp_path / "probe").exists()
    evaluate(probe_job(shares=(100,)), evaluation, encoder, tmp_path / "probe", cell=digest(JOB))


@pytest.mark.parametrize("name", ["encoder.json", "pretrain.json", "eval/equivariance.json"])
def test_a_record_that_was_edited_is_refused(tmp_path, name):
    write_cell(tmp_path)
    values = json.loads((tmp_path / name).read_text())
    (tmp_path / name).write_text(json.dumps({**values, "note": 1}))
    refused(tmp_path, rf"{Path(name).stem}\.json: seal: .* damaged or edited")


def test_the_record_names_its_files_and_what_it_was_made_of(cell):
    folder, metrics = cell
    names = ("predictions.csv", "correct.parquet")
    assert metrics["files"] == {name: sha256(folder / "probe" / name) for name in names}
    sources = {"encoder": "encoder", "pretrain": "pretrain", "equivariance": "eval/equivariance"}
    assert metrics["made_of"] == {name: seal_in(folder / f"{path}.json") for name, path in sources.items()}
    assert metrics["details"]["job"] == probe_job().plain()


def test_records_that_lack_a_key_are_refused(tmp_path):
    write_cell(tmp_path)
    resealed(tmp_path / "pretrain.json", lambda values: (values.pop("epochs"), values.pop("seconds")))
    refused(tmp_path, r"pretrain\.json: epochs, seconds: missing")
    (tmp_path / "pretrain.json").write_text("{")
    refused(tmp_path, r"pretrain\.json: not JSON")
