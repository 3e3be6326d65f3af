from pathlib import Path

import pytest
from sealed import seal_in
from written_grid import metrics, write_cell

from eqssl.machine.records import write_record
from eqssl.report.cells import read_cell, read_cells, read_curves, read_losses


def changed(tmp_path, change):
    """One cell whose metrics.json went through `change`; its two paths."""
    values = metrics("data", "C4", "eq_labels", 0)
    change(values)
    pair = write_cell(tmp_path, metrics("data", "C4", "eq_labels", 0))
    trained = pair[1].with_name("pretrain.json")
    write_record(pair[0], values, ["predictions.csv"], {"pretrain": seal_in(trained)})
    return pair


def test_a_cell_is_read_with_its_numbers_and_losses(tmp_path):
    cell = read_cell(*write_cell(tmp_path, metrics("data", "C4", "eq_labels", 3)))
    assert (cell.dataset, cell.group, cell.pretext, cell.seed) == ("data", "C4", "eq_labels", 3)
    estimate = cell.estimate("acc_stored_100")
    assert estimate.lo < estimate.value < estimate.hi
    assert [epoch for epoch, _ in cell.losses] == [1, 2, 3, 4, 5]
    assert (cell.classes, cell.test_images) == (10, 200)
    assert len(cell.angles) == 24
    assert cell.changes[0] == (15.0, pytest.approx(0.005))
    assert not cell.is_reference


def test_order_is_groups_by_size_then_pretexts_with_references_last(tmp_path):
    names = [("D4", "random"), ("C4", "labels"), ("D4", "labels"), ("C4", "random"), ("trivial", "labels")]
    cells = read_cells([write_cell(tmp_path, metrics("data", group, name, 0)) for group, name in names])
    assert [(cell.group, cell.pretext) for cell in cells] == [
        ("trivial", "labels"),
        ("C4", "labels"),
        ("C4", "random"),
        ("D4", "labels"),
        ("D4", "random"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v.pop("group"), "group: missing"),
        (lambda v: v.update(seed="0"), "seed: given '0', expected an integer"),
        (
            lambda v: v.update(acc_grid_10=71.3),
            "acc_grid_10: given 71.3, expected an accuracy between 0 and 1",
        ),
        (lambda v: v.update(knn_stored=-0.1), "knn_stored: given -0.1"),
        (lambda v: v.update(flops="many"), "flops: given 'many', expected a finite number"),
        (lambda v: v.update(details=[]), "details: given"),
        (lambda v: v["details"]["angles"].insert(2, {"degrees": 3.0}), r"details.angles\[2\]: given"),
        (
            lambda v: v["details"]["equivariance"]["angles"][1].pop("error"),
            r"details.equivariance.angles\[1\]: given .*, expected numbers degrees and error",
        ),
        (lambda v: v.update(pretext_accuracy=1.5), "pretext_accuracy: given 1.5, expected an accuracy"),
        (
            lambda v: v.update(pretext_one_turn_found=1.5),
            "pretext_one_turn_found: given 1.5, expected an acc",
        ),
        (lambda v: v["details"]["angles"][1].update(acc=7), r"details.angles\[1\].acc: given 7"),
    ],
)
def test_damaged_metrics_are_refused_by_file_and_reason(tmp_path, change, reason):
    pair = changed(tmp_path, change)
    with pytest.raises(ValueError, match=reason) as caught:
        read_cell(*pair)
    assert str(caught.value).startswith(str(pair[0]))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_a_number_is_refused(tmp_path, number):
    metrics_file, losses = changed(tmp_path, lambda v: v.update(acc_stored_1=0.123))
    metrics_file.write_text(metrics_file.read_text().replace("0.123", number))
    with pytest.raises(ValueError, match=f"metrics.json: not JSON: {number} is not a number"):
        read_cell(metrics_file, losses)


def test_metrics_that_were_edited_are_refused(tmp_path):
    metrics_file, losses = changed(tmp_path, lambda v: v.update(acc_stored_1=0.123))
    metrics_file.write_text(metrics_file.read_text().replace("0.123", "0.124"))
    with pytest.raises(ValueError, match=r"metrics\.json: seal: .* damaged or edited"):
        read_cell(metrics_file, losses)


@pytest.mark.parametrize(("name", "record"), [("loss.csv", "pretrain"), ("predictions.csv", "metrics")])
def test_a_file_that_is_not_the_one_that_its_record_names_is_refused(tmp_path, name, record):
    pair = changed(tmp_path, lambda v: None)
    path = pair[0].with_name(name)
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(ValueError, match=rf"{name}: SHA-256 is \w+, but {record}\.json states \w+"):
        read_cell(*pair)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        read_cell(*pair)


def test_a_training_of_another_cell_is_refused(tmp_path):
    first = write_cell(tmp_path, metrics("data", "C4", "labels", 0))
    second = write_cell(tmp_path, metrics("data", "C4", "random", 0))
    reason = r"metrics\.json: was not made of this pretrain: given .*random/s0/pretrain\.json with seal"
    with pytest.raises(ValueError, match=reason):
        read_cell(first[0], second[1])


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"dataset": "d"'])
def test_a_file_without_a_table_of_metrics_is_refused(tmp_path, text):
    pair = changed(tmp_path, lambda v: None)
    pair[0].write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.json: (not JSON|given list)"):
        read_cell(*pair)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    pair = changed(tmp_path, lambda v: None)
    pair[0].write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"metrics\.json: is not UTF-8"):
        read_cell(*pair)


def test_a_null_in_metrics_counts_as_a_missing_number(tmp_path):
    cell = read_cell(*changed(tmp_path, lambda v: v.update(acc_stored_10=None)))
    assert cell.estimate("acc_stored_10") is None
    assert cell.estimate("acc_stored_100") is not None


def test_the_same_cell_twice_is_refused(tmp_path):
    first = write_cell(tmp_path / "a", metrics("data", "C4", "labels", 0))
    second = write_cell(tmp_path / "b", metrics("data", "C4", "labels", 0))
    with pytest.raises(ValueError, match="already read from") as caught:
        read_cells([first, second])
    assert str(first[0]) in str(caught.value)
    assert str(second[0]) in str(caught.value)


def test_no_cells_are_refused():
    with pytest.raises(ValueError, match="no cells"):
        read_cells([])


@pytest.mark.parametrize("text", ["", "epoch,loss\n"])
def test_an_untrained_cell_has_no_losses(tmp_path, text):
    path = tmp_path / "loss.csv"
    path.write_text(text)
    assert read_losses(path) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("step,loss\n1,2\n", "lacks the columns epoch and loss"),
        ("epoch,loss\n1,2.5\n2,high\n", "line 3: not numbers: epoch '2', loss 'high'"),
        ("epoch,loss\n1\n", "line 2: not numbers"),
    ],
)
def test_damaged_losses_are_refused(tmp_path, text, reason):
    path = tmp_path / "loss.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_losses(path)


def test_diagnostics_of_embeddings_and_of_parts_are_read_and_other_columns_left_alone(tmp_path):
    path = tmp_path / "loss.csv"
    path.write_text("epoch,loss,note,part/rank,turn_found\n1,2.5,high,3.5,0.5\n2,2.0,low,4.5,0.75\n")
    assert read_curves(path) == {
        "loss": ((1, 2.5), (2, 2.0)),
        "part/rank": ((1, 3.5), (2, 4.5)),
        "turn_found": ((1, 0.5), (2, 0.75)),
    }
    path.write_text("epoch,loss,rank\n1,2.5,many\n")
    with pytest.raises(ValueError, match=r"line 2: not numbers: epoch '1', loss '2.5', rank 'many'"):
        read_curves(path)


def test_cells_without_diagnostics_have_none(tmp_path):
    assert read_cell(*write_cell(tmp_path, metrics("data", "C4", "eq_labels", 3))).diagnostics == {}
    contrast = read_cell(*write_cell(tmp_path, metrics("data", "C4", "inv_contrastive", 3)))
    assert contrast.diagnostics["rank"] == tuple((epoch, 2.0 * epoch + 3) for epoch in range(1, 6))


def test_a_missing_file_is_an_os_error():
    with pytest.raises(OSError, match="absent"):
        read_cell(Path("absent/metrics.json"), Path("absent/loss.csv"))
