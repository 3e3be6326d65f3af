from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from feature_cells import CLASSES, RETRIEVAL, columns, information, probe_job, write_cell
from sealed import resealed

from eqssl.evaluation.neighbours import NEIGHBOURS, QUERIES
from eqssl.evaluation.parquet import feature_writer, read_features
from eqssl.evaluation.probing import evaluate

ACCURACIES = ("acc_", "reg_acc_", "knn_")


def run(folder, **settings):
    evaluate(probe_job(**settings), folder / "eval", folder, folder / "probe")
    return json.loads((folder / "probe/metrics.json").read_text())


def accuracies(metrics):
    return {name: value for name, value in metrics.items() if name.startswith(ACCURACIES)}


def predictions(folder):
    with (folder / "probe/predictions.csv").open(newline="") as file:
        return list(csv.reader(file))


def unlabelled(split, labels):
    return np.full(len(labels), -1)


def only(*splits):
    """Labels in these splits alone."""
    return lambda split, labels: labels if split in splits else np.full(len(labels), -1)


def without_class(missing, split_without):
    def labels_of(split, labels):
        return np.where((labels == missing) & (split == split_without), -1, labels)

    return labels_of


@pytest.mark.parametrize(
    ("classes", "labels_of", "reason"),
    [
        ((), unlabelled, "no image has a label"),
        (CLASSES, unlabelled, "no image has a label"),
        (("tissue",), None, "all labelled images are of one class, 'tissue'"),
        (CLASSES, only("train", "val"), "no test image has a label"),
        (CLASSES, only("test", "val"), "no training image has a label"),
        (CLASSES, only("train", "test"), "no validation image has a label"),
        (CLASSES, without_class(2, "train"), "class 'cat' has no training image with a label"),
    ],
)
def test_without_accuracies_the_metrics_hold_the_reason_and_everything_else(
    tmp_path, classes, labels_of, reason
):
    write_cell(tmp_path, classes=classes, labels_of=labels_of)
    resealed(tmp_path / "pretrain.json", lambda values: values.update(measured={"pretext_accuracy": 0.5}))
    metrics = run(tmp_path)
    assert accuracies(metrics) == {}
    assert metrics["details"]["probes"] == reason
    assert predictions(tmp_path) == [["actual", "predicted"]]
    assert metrics["equivariance_error"] == 1e-7
    assert metrics["pretext_accuracy"] == 0.5
    assert metrics["retrieval_mrr"] == RETRIEVAL["mrr"]
    assert metrics["retrieval_hit_1"] == RETRIEVAL["hit_rate_1"]
    assert len(metrics["details"]["neighbours"]) == QUERIES


def test_unlabelled_images_change_no_number_of_the_labelled_ones(tmp_path):
    """A cell of labelled images, and the same with as many images again that have no label."""
    write_cell(tmp_path / "labelled")
    write_cell(tmp_path / "both")
    info = information()
    for split in ("train", "val", "test"):
        path = f"eval/features/{split}.parquet"
        table = read_features(tmp_path / "labelled" / path, list(info.widths))
        with feature_writer(tmp_path / "both" / path, info) as writer:
            for view in dict.fromkeys(table.views.tolist()):
                part = table.view(view)
                moved = {"angles": np.repeat(part.angles, 2), "elements": np.repeat(part.elements, 2)}
                noise = columns(info, np.zeros(len(part.keys), int), 9.0, 3)
                mixed = {
                    name: np.stack([values, noise[name]], 1).reshape(-1, values.shape[1])
                    for name, values in part.features.items()
                }
                keys = [key for one in part.keys for key in (one, f"{one}-unlabelled")]
                labels = np.stack([part.labels, np.full(len(part.keys), -1)], 1).reshape(-1)
                writer.write(split, view, keys, labels, mixed, **moved)
    twice = {"train": 600, "val": 120, "test": 180}
    resealed(tmp_path / "both/eval/equivariance.json", lambda values: values["rows"].update(twice))
    expected, found = run(tmp_path / "labelled"), run(tmp_path / "both")
    assert accuracies(found) == accuracies(expected) != {}
    assert predictions(tmp_path / "both") == predictions(tmp_path / "labelled")
    for key in ("angles", "prediction_change", "probes"):
        assert found["details"][key] == expected["details"][key]
    ridge = [
        {column: (entry["strength"], entry["test"]) for column, entry in values["details"]["ridge"].items()}
        for values in (found, expected)
    ]
    assert ridge[0] == ridge[1]
    assert found["details"]["labels"] == {
        split: {"images": count, "labelled": count // 2} for split, count in twice.items()
    }


def test_a_share_of_the_labels_that_a_class_is_too_small_for_is_left_out_with_the_reason(tmp_path):
    write_cell(tmp_path)
    info, labels = information(), np.array([0] * 200 + [1] * 200 + [2] * 5)
    with feature_writer(tmp_path / "eval/features/train.parquet", info) as writer:
        writer.write("train", "stored", [str(i) for i in range(405)], labels, columns(info, labels, 1.0, 0))
    resealed(tmp_path / "eval/equivariance.json", lambda values: values["rows"].update(train=405))
    metrics = run(tmp_path)
    (reason,) = metrics["details"]["left_out"]
    assert reason.startswith("10 % of the labels: class 'cat' has 5 training images, but a balanced draw")
    assert {name.split("_")[2] for name in metrics if name.startswith("acc_")} == {"1", "100"}


def test_more_neighbours_than_labelled_images_are_left_out_with_the_reason(tmp_path):
    write_cell(tmp_path, counts=(30, 6, 9))
    metrics = run(tmp_path, neighbours=40, shares=(100,))
    assert metrics["details"]["left_out"] == [
        "40 nearest neighbours: only 36 images have a known label",
    ]
    assert "acc_stored_100" in metrics
    assert not [name for name in metrics if name.startswith("knn_")]


def test_the_nearest_images_are_those_of_a_slow_search(tmp_path):
    write_cell(tmp_path, classes=(), counts=(4500, 60, 90), labels_of=unlabelled)
    entries = run(tmp_path)["details"]["neighbours"]
    train = read_features(tmp_path / "eval/features/train.parquet", ["invariant"])
    test = read_features(tmp_path / "eval/features/test.parquet", ["invariant"]).view("stored")
    assert len({entry["key"] for entry in entries}) == len(entries) == QUERIES
    for entry in entries:
        query = test.features["invariant"][test.keys.index(entry["key"])].astype(float)
        values = train.features["invariant"].astype(float)
        cosine = values @ query / np.linalg.norm(values, axis=1) / np.linalg.norm(query)
        best = np.sort(cosine)[::-1][:NEIGHBOURS]
        assert [value for _, value in entry["neighbours"]] == pytest.approx(best.tolist(), abs=1e-5)
        for key, value in entry["neighbours"]:
            assert cosine[train.keys.index(key)] == pytest.approx(value, abs=1e-5)


def test_a_small_set_has_as_many_queries_and_neighbours_as_it_has_images(tmp_path):
    write_cell(tmp_path, classes=(), counts=(2, 1, 3), labels_of=unlabelled)
    entries = run(tmp_path)["details"]["neighbours"]
    assert sorted(entry["key"] for entry in entries) == ["test-0000", "test-0001", "test-0002"]
    assert all(len(entry["neighbours"]) == 2 for entry in entries)


def test_a_label_below_minus_one_is_refused(tmp_path):
    write_cell(tmp_path, labels_of=lambda split, labels: np.where(np.arange(len(labels)) == 3, -2, labels))
    with pytest.raises(ValueError, match=r"train\.parquet: column label: key 'train-0003' has label -2"):
        run(tmp_path)


def test_damaged_test_features_are_refused_without_labels_too(tmp_path):
    write_cell(tmp_path, classes=(), labels_of=unlabelled)
    path = tmp_path / "eval/features/test.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    resealed(tmp_path / "eval/equivariance.json")
    with pytest.raises(ValueError, match=r"test\.parquet: not a whole Parquet file"):
        run(tmp_path)


@pytest.mark.parametrize("value", [1.5, "much", None, True])
def test_a_retrieval_that_is_no_share_is_refused(tmp_path, value):
    write_cell(tmp_path)
    changed = {"retrieval": {**RETRIEVAL, "mrr": value}} if value is not None else {"retrieval": 3}
    resealed(tmp_path / "eval/equivariance.json", lambda values: values.update(changed))
    with pytest.raises(ValueError, match=r"equivariance\.json: retrieval"):
        run(tmp_path)
