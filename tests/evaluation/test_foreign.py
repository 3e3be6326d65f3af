"""Features of other software: Parquet files without our metadata."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_cells import probe_job, write_cell
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from eqssl.evaluation.correct import read_correct
from eqssl.evaluation.foreign import ForeignFeatures
from eqssl.evaluation.foreign_probing import evaluate_foreign
from eqssl.machine.files import sha256
from eqssl.machine.records import read_record

COUNTS = {"train": 300, "val": 60, "test": 90}
SHAPES = ("fixed", "list", "large", "double", "numbered", "half")


def numbers(split, width=6):
    random = np.random.default_rng(len(split))
    points = np.random.default_rng(9).standard_normal((3, width))
    labels = np.arange(COUNTS[split]) % 3
    return (points[labels] + 1.5 * random.standard_normal((len(labels), width))).astype(np.float32), labels


def feature_columns(values, shape):
    width = values.shape[1]
    if shape == "numbered":
        return {f"f{i}": pa.array(values[:, i]) for i in range(width)}
    if shape == "fixed":
        return {"invariant": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)}
    kinds = {"list": pa.list_(pa.float32()), "large": pa.large_list(pa.float32())}
    kinds |= {"double": pa.list_(pa.float64()), "half": pa.list_(pa.float16())}
    rows = values.astype(np.float16) if shape == "half" else values
    return {"invariant": pa.array(list(rows), kinds[shape])}


def columns(split, shape="fixed", names=None):
    values, labels = numbers(split)
    return {
        "key": pa.array([f"{split}-{i}" for i in range(len(labels))]),
        "split": pa.array([split] * len(labels)),
        "view": pa.array(["stored"] * len(labels)),
        "label": pa.array([names[label] for label in labels] if names else labels),
        **feature_columns(values, shape),
    }


def write(folder, shape="fixed", names=None, splits=("train", "val", "test"), **changes):
    """The files of the splits; `changes` replaces columns, or takes them away with None, as SPLIT_COLUMN."""
    files = {}
    for split in splits:
        found = columns(split, shape, names)
        for name, values in changes.items():
            if name.startswith(split):
                found[name.removeprefix(f"{split}_")] = values
        table = pa.table({name: values for name, values in found.items() if values is not None})
        files[split] = folder / f"{split}.parquet"
        folder.mkdir(exist_ok=True, parents=True)
        pq.write_table(table, files[split], row_group_size=70)
    return files


def run(files, out, **settings):
    evaluate_foreign(probe_job(**settings), files, out)
    return json.loads((out / "metrics.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    files = write(folder)
    return folder, files, run(files, folder / "out")


def test_the_accuracy_is_five_lines_of_scikit_learn(made):
    _, _, metrics = made
    (x, y), (v, held), (t, test) = (numbers(split) for split in COUNTS)
    scaler = StandardScaler().fit(x)
    x, y = scaler.transform(np.concatenate([x, v])), np.concatenate([y, held])
    strength = metrics["details"]["probes"]["invariant"]["100"][0]["strength"]
    probe = LogisticRegression(C=1 / (strength * len(x)), max_iter=1000).fit(x, y)
    assert metrics["acc_stored_100"] == probe.score(scaler.transform(t), test)


def test_the_record_names_the_files_and_says_that_the_features_are_foreign(made):
    folder, files, metrics = made
    record = read_record(folder / "out/metrics.json")
    assert record.values["features"] == "foreign"
    assert record.made_of == {split: sha256(path) for split, path in files.items()}
    foreign = metrics["details"]["foreign"]
    assert foreign["files"]["train"] == {"name": "train.parquet", "sha256": sha256(files["train"])}
    assert (foreign["widths"], foreign["classes"]) == ({"invariant": 6}, ["0", "1", "2"])
    assert foreign["validation"] == "given"
    assert set(record.files) == {"predictions.csv", "correct.parquet"}
    assert "group" not in metrics
    assert not [name for name in metrics if name.startswith("reg_") or "equivariance" in name]


def test_all_the_files_are_there_as_for_a_cell(made):
    folder, _, metrics = made
    with (folder / "out/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert np.mean([row["actual"] == row["predicted"] for row in rows]) == metrics["acc_stored_100"]
    table = read_correct(folder / "out/correct.parquet")
    assert table.keys == [f"test-{i}" for i in range(90)]
    assert table.shares("acc_stored_10").mean() == pytest.approx(metrics["acc_stored_10"])
    assert metrics["acc_stored_1_lo"] <= metrics["acc_stored_1"] <= metrics["acc_stored_1_hi"]
    assert "knn_stored" in metrics


@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_of_the_column_gives_the_same_numbers(made, tmp_path, shape):
    metrics = run(write(tmp_path, shape), tmp_path / "out")
    if shape == "half":  # other numbers
        assert metrics["acc_stored_100"] == pytest.approx(made[2]["acc_stored_100"], abs=0.02)
    else:
        same = [name for name in made[2] if name not in ("details", "made_of", "seal", "files")]
        assert {name: metrics[name] for name in same} == {name: made[2][name] for name in same}


def test_one_file_with_splits_is_the_same_as_three(made, tmp_path):
    _, files, metrics = made
    whole = pa.concat_tables([pq.read_table(files[split]) for split in ("test", "train", "val")])
    path = tmp_path / "all.parquet"
    pq.write_table(whole, path)
    found = run(path, tmp_path / "out")
    assert found["acc_stored_10"] == metrics["acc_stored_10"]
    assert found["details"]["probes"] == metrics["details"]["probes"]
    assert found["made_of"] == {"features": sha256(path)}


def test_columns_of_split_and_view_may_be_left_out(made, tmp_path):
    gone = {f"{split}_{name}": None for split in COUNTS for name in ("split", "view")}
    found = run(write(tmp_path, **gone), tmp_path / "out")
    assert found["acc_stored_100"] == made[2]["acc_stored_100"]


def test_names_of_classes_are_the_labels(tmp_path):
    run(write(tmp_path, names=["cat", "ant", "bee"]), tmp_path / "out")
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["actual"] for row in rows[:3]] == ["cat", "ant", "bee"]
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["details"]["foreign"]["classes"] == ["ant", "bee", "cat"]


def test_without_validation_images_a_tenth_of_each_class_is_taken_by_hashes_of_keys(tmp_path):
    files = write(tmp_path, splits=("train", "test"))
    data = ForeignFeatures.load(files)
    keys = [f"train-{i}" for i in range(300)]
    expected = set()
    for label in range(3):
        own = sorted(keys[label::3], key=lambda key: hashlib.sha256(key.encode()).digest())
        expected |= set(own[:10])
    assert set(data.val.keys) == expected
    assert set(data.train.keys) == set(keys) - expected
    x, _ = numbers("train")
    rows = [int(key.split("-")[1]) for key in data.val.keys]
    assert np.array_equal(data.val.features["invariant"], x[rows])
    metrics = run(files, tmp_path / "out")
    said = "0.1 of the training images, by the hashes of their keys"
    assert metrics["details"]["foreign"]["validation"] == said
    assert metrics["details"]["labels"]["val"] == {"images": 30, "labelled": 30}


def test_views_and_angles_of_test_images_count_in_any_order(tmp_path):
    files = write(tmp_path)
    stored = pq.read_table(files["test"])
    angles = 360 * np.random.default_rng(0).random(90)
    stored = stored.append_column("angle", pa.array(np.zeros(90)))
    order = np.random.default_rng(1).permutation(90)
    turned = stored.take(order).set_column(2, "view", pa.array(["angle"] * 90))
    turned = turned.set_column(turned.schema.get_field_index("angle"), "angle", pa.array(angles))
    pq.write_table(pa.concat_tables([turned, stored]), files["test"])
    metrics = run(files, tmp_path / "out")
    assert metrics["acc_angle_100"] == metrics["acc_stored_100"]
    assert sum(part["n"] for part in metrics["details"]["angles"]) == 90


def test_regular_features_are_probed_where_every_file_has_them(tmp_path):
    regular = {f"{s}_regular": feature_columns(numbers(s, 6)[0] * 2, "list")["invariant"] for s in COUNTS}
    metrics = run(write(tmp_path, **regular), tmp_path / "out", classifiers=("logistic", "ridge"))
    assert metrics["reg_ridge_acc_stored_100"] == pytest.approx(metrics["ridge_acc_stored_100"], abs=0.02)
    assert set(metrics["details"]["foreign"]["widths"]) == {"invariant", "regular"}


def test_our_own_feature_files_are_accepted_too(tmp_path):
    evaluation, _ = write_cell(tmp_path, noise=4.0)
    files = {split: evaluation / f"features/{split}.parquet" for split in COUNTS}
    metrics = run(files, tmp_path / "out")
    assert {"acc_grid_100", "reg_acc_angle_100"} <= set(metrics)


def test_images_without_a_label_do_not_count(made, tmp_path):
    files, x = {}, None
    for split in ("train", "val", "test"):
        found = columns(split)
        extra = {name: values.take(pa.array([0])) for name, values in found.items()}
        extra |= {"key": pa.array([f"{split}-none"]), "label": pa.array([-1])}
        files[split] = tmp_path / f"{split}.parquet"
        x = pa.concat_tables([pa.table(found), pa.table(extra)])
        pq.write_table(x, files[split])
    metrics = run(files, tmp_path / "out")
    assert metrics["acc_stored_100"] == made[2]["acc_stored_100"]
    assert metrics["details"]["labels"]["test"] == {"images": 91, "labelled": 90}


def test_the_same_inputs_give_the_same_bytes(made, tmp_path):
    folder, files, _ = made
    run(files, tmp_path)
    for name in ("metrics.json", "predictions.csv", "correct.parquet"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


NAN = numbers("train")[0].copy()
NAN[5, 2] = np.nan
RAGGED = [list(row) for row in numbers("train")[0]]
RAGGED[7] = RAGGED[7][:4]
GAP = [list(row) for row in numbers("train")[0]]
GAP[3] = [*GAP[3][:5], None]
EMPTY = [list(row) for row in numbers("train")[0]]
EMPTY[9] = None
LABELS = numbers("train")[1]
BARE = {"train_invariant": None}
ONE = pa.array(NAN[:, 0])


WRONG = [
    ({"train_key": None}, r"train\.parquet: column key: missing"),
    ({"train_label": None}, r"train\.parquet: column label: missing"),
    ({"test_invariant": None}, r"test\.parquet: no column of features: wanted: invariant, a list"),
    ({"train_key": pa.array(np.zeros(300))}, r"column key: is double, should be texts or whole numbers"),
    ({"train_key": pa.array(["a"] * 300)}, r"column key: key 'a' is there twice"),
    ({"val_key": pa.array([f"train-{i}" for i in range(60)])}, r"key 'train-0' is in the splits train and"),
    ({"train_key": pa.array([None, *(str(i) for i in range(299))])}, r"column key: has empty cells"),
    ({"train_label": pa.array(LABELS.astype(float))}, r"column label: is double, should be texts or"),
    ({"train_label": pa.array(np.full(300, -5))}, r"label: key 'train-0' has -5, allowed: 0 or more"),
    ({"train_label": pa.array(["x"] * 300)}, r"val\.parquet: column label: has whole numbers, but train"),
    ({"train_label": pa.array(LABELS % 2)}, r"column label: class '2' has no training image with a label"),
    ({"train_view": pa.array(["grid"] * 300)}, r"key 'train-0' is of view 'grid', wanted: stored"),
    ({"test_view": pa.array(["grid"] * 90)}, r"column view: has no test images of view 'stored'"),
    ({"test_view": pa.array(["up"] * 90)}, r"key 'test-0' has 'up', allowed: stored, grid, angle"),
    ({"test_split": pa.array(["train"] * 90)}, r"key 'test-0' is of split 'train', wanted: test"),
    ({"train_invariant": pa.array(LABELS)}, r"column invariant: is int64, should be a list of floats"),
    ({"train_invariant": pa.array([[1]] * 300)}, r"column invariant: is list<.*>, should be a list of"),
    ({"train_invariant": pa.array(list(NAN))}, r"key 'train-5' has a number that is not finite"),
    ({"train_invariant": pa.array([[1e39]] * 300)}, r"key 'train-0' has a number that is not finite"),
    ({"train_invariant": pa.array(RAGGED)}, r"key 'train-7' has 4 numbers, wanted: 6"),
    ({"train_invariant": pa.array(GAP)}, r"column invariant: key 'train-3' has an empty number"),
    ({"train_invariant": pa.array(EMPTY)}, r"column invariant: key 'train-9' has no value"),
    ({"test_invariant": pa.array([[1.0]] * 90)}, r"test\.parquet: column invariant: has 1 numbers, but"),
    ({"test_angle": pa.array(np.full(90, 400.0))}, r"angle: key 'test-0' has 400.0, allowed: -360 to 360"),
    ({**BARE, "train_f0": ONE, "train_f2": ONE}, r"column f1: missing before f2"),
    ({**BARE, "train_f0": ONE, "train_g1": ONE}, r"column f0: .* wanted: one beginning"),
    ({**BARE, "train_f0": pa.array(NAN[:, 2])}, r"column f0: key 'train-5' has a number"),
    ({**BARE, "train_f0": pa.array([None, *NAN[1:, 0]])}, r"column f0: key 'train-0' has no value"),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG)
def test_what_is_missing_or_wrong_is_refused_with_file_column_and_reason(tmp_path, changes, reason):
    files = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=reason) as caught:
        run(files, tmp_path / "out")
    assert ".parquet: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_one_file_needs_its_column_of_splits(tmp_path):
    files = write(tmp_path, train_split=None)
    with pytest.raises(ValueError, match=r"column split: missing; without it, give a file for each split"):
        run(files["train"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"column split: has no training image \('train'\)"):
        run(files["test"], tmp_path / "out")


def test_other_files_are_refused(tmp_path):
    files = write(tmp_path)
    whole = files["test"].read_bytes()
    files["test"].write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"test\.parquet: not a whole Parquet file"):
        run(files, tmp_path / "out")
    files["test"].unlink()
    with pytest.raises(FileNotFoundError):
        run(files, tmp_path / "out")
    with pytest.raises(ValueError, match=r"probe\.stages: given 2, allowed: 1 for features of other"):
        run(files, tmp_path / "out", stages=2)
