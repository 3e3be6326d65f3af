from __future__ import annotations

import csv
import json

import pytest

from eqssl.evaluation.summary import columns, summarise
from eqssl.machine.records import write_record

HEADER = (
    "dataset,group,pretext,seed,parameters,flops,epochs,equivariance_error,seconds_pretrain,"
    "acc_stored_1,acc_stored_1_lo,acc_stored_1_hi,acc_stored_100,acc_stored_100_lo,acc_stored_100_hi,"
    "acc_angle_1,acc_angle_1_lo,acc_angle_1_hi,acc_angle_100,acc_angle_100_lo,acc_angle_100_hi,"
    "reg_acc_stored_1,reg_acc_stored_1_lo,reg_acc_stored_1_hi,"
    "reg_acc_stored_100,reg_acc_stored_100_lo,reg_acc_stored_100_hi,"
    "reg_acc_angle_1,reg_acc_angle_1_lo,reg_acc_angle_1_hi,"
    "reg_acc_angle_100,reg_acc_angle_100_lo,reg_acc_angle_100_hi,"
    "knn_stored,knn_stored_lo,knn_stored_hi,knn_angle,knn_angle_lo,knn_angle_hi"
)


def write(folder, name, views=("stored", "angle"), shares=(1, 100), accuracy=0.1 + 0.2, **changes):
    values = {
        "dataset": "insects",
        "group": "C4",
        "pretext": "mine",
        "seed": 0,
        "parameters": 123,
        "flops": 456,
        "epochs": 3,
        "equivariance_error": 1.2345678901234567e-07,
        "seconds_pretrain": 2.5,
        "details": {"anything": [1]},
    }
    for view in views:
        names = [f"{p}_{view}_{share}" for p in ("acc", "reg_acc") for share in shares] + [f"knn_{view}"]
        values |= {key + end: accuracy for key in names for end in ("", "_lo", "_hi")}
    path = folder / name
    write_record(path, {**values, **changes})
    return path


def tables(folder, files):
    summarise(files, folder / "grid.csv", folder / "grid.json")
    text = (folder / "grid.csv").read_text()
    return text, json.loads((folder / "grid.json").read_text())


def test_the_table_has_the_agreed_columns_order_of_rows_and_all_digits(tmp_path):
    files = [
        write(tmp_path, "a", group="D4"),
        write(tmp_path, "b", group="trivial", pretext="zebra"),
        write(tmp_path, "c", group="C4", seed=10),
        write(tmp_path, "d", group="C4", seed=9),
        write(tmp_path, "e", group="D1"),
        write(tmp_path, "f", group="D2"),
        write(tmp_path, "g", group="C2"),
        write(tmp_path, "h", dataset="birds", group="D4"),
        write(tmp_path, "i", group="trivial", pretext="ant"),
    ]
    text, _ = tables(tmp_path, files)
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(text.splitlines()))
    assert [(r["dataset"], r["group"], r["pretext"], r["seed"]) for r in rows] == [
        ("birds", "D4", "mine", "0"),
        ("insects", "trivial", "ant", "0"),
        ("insects", "trivial", "zebra", "0"),
        ("insects", "C2", "mine", "0"),
        ("insects", "C4", "mine", "9"),
        ("insects", "C4", "mine", "10"),
        ("insects", "D1", "mine", "0"),
        ("insects", "D2", "mine", "0"),
        ("insects", "D4", "mine", "0"),
    ]
    assert float(rows[0]["acc_stored_1"]) == 0.1 + 0.2
    assert rows[0]["acc_stored_1"] == "0.30000000000000004"
    assert float(rows[0]["equivariance_error"]) == 1.2345678901234567e-07
    assert rows[0]["parameters"] == "123"
    assert tables(tmp_path, files[::-1])[0] == text


def test_the_summary_is_the_mean_over_seeds(tmp_path):
    files = [write(tmp_path, str(seed), seed=seed, accuracy=0.25 * (seed + 1)) for seed in range(3)]
    _, summary = tables(tmp_path, [*files, write(tmp_path, "other", pretext="else", accuracy=1.0)])
    assert summary["insects"]["C4"]["mine"]["acc_stored_100"] == 0.5
    assert summary["insects"]["C4"]["else"]["knn_angle"] == 1.0
    assert set(summary["insects"]["C4"]["mine"]) == {
        *(
            f"{p}_{view}_{share}"
            for p in ("acc", "reg_acc")
            for view in ("stored", "angle")
            for share in (1, 100)
        ),
        "knn_stored",
        "knn_angle",
        "equivariance_error",
    }


def test_label_tasks_have_columns_of_their_own_that_are_empty_elsewhere(tmp_path):
    measured = {"pretext_accuracy": 0.5, "pretext_accuracy_lo": 0.4, "pretext_accuracy_hi": 0.6}
    files = [
        write(tmp_path, "a", pretext="one", **measured),
        write(tmp_path, "b", pretext="one", seed=1, **measured, pretext_surviving=0.25),
        write(tmp_path, "c", pretext="other"),
    ]
    text, summary = tables(tmp_path, files)
    names = ["pretext_accuracy", "pretext_accuracy_hi", "pretext_accuracy_lo", "pretext_surviving"]
    assert text.splitlines()[0] == HEADER + "," + ",".join(names)
    rows = list(csv.DictReader(text.splitlines()))
    assert [[row[name] for name in names] for row in rows] == [
        ["0.5", "0.6", "0.4", ""],
        ["0.5", "0.6", "0.4", "0.25"],
        [""] * 4,
    ]
    means = summary["insects"]["C4"]
    assert (means["one"]["pretext_accuracy"], means["one"]["pretext_surviving"]) == (0.5, 0.25)
    assert "pretext_accuracy_lo" not in means["one"]
    assert not [name for name in means["other"] if name.startswith("pretext_")]


def test_numbers_of_turned_images_come_between_retrieval_and_pretexts(tmp_path):
    turned = {"turn_r2": 0.5, "turn_r2_invariant": -0.1, "agreement_grid": 1.0, "agreement_grid_lo": 0.9}
    others = {"pretext_accuracy": 0.5, "reg_agreement_grid": 0.75, "retrieval_mrr": 0.25}
    files = [write(tmp_path, "a", **turned, **others), write(tmp_path, "b", seed=1)]
    text, summary = tables(tmp_path, files)
    names = ["retrieval_mrr", "agreement_grid", "agreement_grid_lo", "reg_agreement_grid"]
    names += ["turn_r2", "turn_r2_invariant", "pretext_accuracy"]
    assert text.splitlines()[0] == HEADER + "," + ",".join(names)
    rows = list(csv.DictReader(text.splitlines()))
    assert [[row[name] for name in names] for row in rows] == [
        ["0.25", "1.0", "0.9", "0.75", "0.5", "-0.1", "0.5"],
        [""] * 7,
    ]
    means = summary["insects"]["C4"]["mine"]
    assert (means["turn_r2_invariant"], means["agreement_grid"]) == (-0.1, 1.0)
    assert "agreement_grid_lo" not in means


@pytest.mark.parametrize("name", ["agreement_angle", "reg_agreement_grid"])
def test_an_agreement_that_is_no_share_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"a: {name}: given 1\.5, expected an accuracy between 0 and 1"):
        tables(tmp_path, [write(tmp_path, "a", **{name: 1.5})])
    tables(tmp_path, [write(tmp_path, "b", turn_r2=-3.5)])


def test_views_are_in_their_order_and_shares_are_numbers():
    names = ["acc_angle_9", "acc_angle_100", "acc_grid_9", "acc_stored_9", "acc_stored_9_lo", "reg_acc_x_1"]
    found = [name for name in columns(names) if name.startswith("acc") and not name.endswith(("lo", "hi"))]
    assert found == [f"acc_{view}_{share}" for view in ("stored", "grid", "angle") for share in (9, 100)]


def test_other_kinds_of_probes_and_stages_come_after_the_default_ones(tmp_path):
    extra = ("ridge_acc", "reg_svm_acc", "stage_2_acc", "stage_2_reg_svm_acc")
    values = {f"{p}_stored_1{end}": 0.5 for p in extra for end in ("", "_lo", "_hi")}
    text, summary = tables(tmp_path, [write(tmp_path, "a", ("stored",), (1,), **values)])
    header = [name for name in text.splitlines()[0].split(",") if not name.endswith(("_lo", "_hi"))]
    assert header[header.index("acc_stored_1") :] == [
        "acc_stored_1",
        "reg_acc_stored_1",
        "knn_stored",
        *(f"{prefix}_stored_1" for prefix in extra),
    ]
    assert summary["insects"]["C4"]["mine"]["stage_2_reg_svm_acc_stored_1"] == 0.5
    other = write(tmp_path, "b", ("stored",), (1,), seed=1)
    with pytest.raises(ValueError, match=r"b: ridge_acc_stored_1: not in every cell of insects"):
        tables(tmp_path, [tmp_path / "a", other])


@pytest.mark.parametrize("order", [1, -1])
def test_cells_of_different_shares_are_refused(tmp_path, order):
    files = [write(tmp_path, "a.json"), write(tmp_path, "b.json", shares=(1, 10, 100), seed=1)][::order]
    with pytest.raises(ValueError, match=r"[ab]\.json: acc_stored_10: not in every cell"):
        tables(tmp_path, files)
    assert not (tmp_path / "grid.csv").exists()


@pytest.mark.parametrize("order", [1, -1])
def test_cells_of_different_views_are_refused(tmp_path, order):
    files = [write(tmp_path, "a.json"), write(tmp_path, "b.json", views=("stored",), seed=1)][::order]
    with pytest.raises(ValueError, match=r"[ab]\.json: acc_angle_1: not in every cell"):
        tables(tmp_path, files)


def test_a_cell_given_twice_is_refused(tmp_path):
    files = [write(tmp_path, "a.json"), write(tmp_path, "b.json")]
    with pytest.raises(ValueError, match=r"b\.json: the cell insects C4 mine seed 0 is given twice"):
        tables(tmp_path, files)


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"b\.json: group: given 'E8', allowed: trivial, C2"):
        tables(tmp_path, [write(tmp_path, "b.json", group="E8")])
    (tmp_path / "c.json").write_text('{"dataset": "x"')
    with pytest.raises(ValueError, match=r"c\.json: not JSON"):
        tables(tmp_path, [tmp_path / "c.json"])
    (tmp_path / "d.json").write_text('{"dataset": "x"}')
    with pytest.raises(ValueError, match=r"d\.json: group, pretext, .*: missing"):
        tables(tmp_path, [tmp_path / "d.json"])
    edited = write(tmp_path, "e.json")
    edited.write_text(edited.read_text().replace('"flops": 456', '"flops": 457'))
    with pytest.raises(ValueError, match=r"e\.json: seal: the content is not the one that was sealed"):
        tables(tmp_path, [edited])
    with pytest.raises(ValueError, match=r"no metrics\.json was given"):
        tables(tmp_path, [])


def write_finetuned(folder, name, accuracy=0.5, encoder=None, **changes):
    identity = {"dataset": "insects", "group": "C4", "pretext": "mine", "seed": 0}
    names = [f"fine_acc_{view}_{share}" for view in ("angle", "stored") for share in (10, 1)]
    numbers = {key + end: accuracy for key in names for end in ("", "_lo", "_hi")}
    made_of = {} if encoder is None else {"encoder": encoder}
    write_record(folder / name, {**identity, **numbers, "job": {}, "details": {}, **changes}, made_of=made_of)
    return folder / name


def test_accuracies_of_fine_tuning_come_after_those_of_the_probes(tmp_path):
    files = [write(tmp_path, f"m{seed}", seed=seed) for seed in (0, 1)]
    tuned = [write_finetuned(tmp_path, f"f{seed}", 0.25 + seed / 2, seed=seed) for seed in (1, 0)]
    summarise(files, tmp_path / "grid.csv", tmp_path / "grid.json", tuned)
    rows = list(csv.DictReader((tmp_path / "grid.csv").open()))
    names = [f"fine_acc_{view}_{share}" for view in ("stored", "angle") for share in (1, 10)]
    added = [name + end for name in names for end in ("", "_lo", "_hi")]
    assert list(rows[0]) == HEADER.split(",") + added
    assert [[row[name] for name in added] for row in rows] == [["0.25"] * 12, ["0.75"] * 12]
    means = json.loads((tmp_path / "grid.json").read_text())["insects"]["C4"]["mine"]
    assert {name: value for name, value in means.items() if name.startswith("fine")} == dict.fromkeys(
        names, 0.5
    )


def test_fine_tunings_that_fit_no_cell_or_not_all_cells_are_refused(tmp_path):
    files = [write(tmp_path, f"m{seed}", seed=seed) for seed in (0, 1)]
    first = write_finetuned(tmp_path, "f0")
    for tuned, reason in (
        ([first], "m1: fine_acc_stored_1: not in every cell of insects"),
        ([first, write_finetuned(tmp_path, "f7", seed=7)], "f7: the metrics.json of its cell were not given"),
        ([first, first], "f0: the cell insects C4 mine seed 0 is given twice"),
        ([write_finetuned(tmp_path, "e", encoder="f")], "e: was not made of the encoder that .*m0"),
    ):
        given = files[:1] if tuned[-1].name == "f7" else files
        with pytest.raises(ValueError, match=reason):
            summarise(given, tmp_path / "grid.csv", tmp_path / "grid.json", tuned)
    assert not (tmp_path / "grid.csv").exists()
