import json
from statistics import mean

import pytest
from sealed import resealed
from written_grid import TWINS, write_grid

from eqssl.report.cells import read_cells
from eqssl.report.tables import best_of, comparisons, main_columns, may_be_best, rows_of


@pytest.fixture
def rows(grid):
    return rows_of(read_cells(grid))


def row_of(rows, group, pretext):
    return next(row for row in rows if (row.group, row.pretext) == (group, pretext))


def test_a_row_joins_the_seeds(grid, rows):
    assert len(grid) == 16
    assert [(row.group, row.pretext, row.seeds) for row in rows[:2]] == [
        ("trivial", "eq_labels", 2),
        ("trivial", "labels", 2),
    ]
    values = [json.loads(path.read_text()) for path, _ in grid]
    mine = [v for v in values if (v["group"], v["pretext"]) == ("C4", "labels")]
    row = row_of(rows, "C4", "labels")
    assert row.estimate("acc_angle_10").value == pytest.approx(mean(v["acc_angle_10"] for v in mine))
    assert row.largest("equivariance_error").value == max(v["equivariance_error"] for v in mine)


def test_columns_are_those_that_were_measured(grid):
    path = grid[0][0]
    everywhere = {column.key for column in main_columns(read_cells(grid))}
    assert {"acc_stored_1", "acc_angle_100", "knn_grid", "reg_acc_grid_100", "flops"} <= everywhere
    resealed(path, lambda values: [values.pop(key) for key in list(values) if "grid" in key])
    alone = {column.key for column in main_columns(read_cells(grid[:1]))}
    assert alone == {key for key in everywhere if "grid" not in key}


def test_only_a_self_supervised_row_can_be_the_best(rows):
    columns = {column.key: column for row in rows[:1] for column in main_columns(row.cells)}
    accuracy = columns["acc_stored_100"]
    supervised = row_of(rows, "C4", "supervised").estimate("acc_stored_100").value
    expected = row_of(rows, "C4", "eq_labels").estimate("acc_stored_100").value
    assert best_of(accuracy, rows) == expected < supervised
    assert not may_be_best(accuracy, row_of(rows, "C4", "random"))
    error = columns["equivariance_error"]
    assert best_of(error, rows) > 0 == error.of(row_of(rows, "trivial", "labels")).value
    assert best_of(columns["parameters"], rows) is None


def test_twins_are_those_that_are_declared_whatever_their_names(rows):
    def twins(declared):
        found = comparisons(rows, ["acc_stored_100"], declared)
        return [(c.row.pretext, c.base.pretext) for c in found if c.kind == "twin" and c.row.group == "C4"]

    assert twins({}) == []
    assert twins({"supervised": "labels"}) == [("supervised", "labels")]
    assert twins({"eq_labels": "absent"}) == []


def test_comparisons_are_twins_then_random_then_trivial(rows):
    found = comparisons(rows, ["acc_stored_100"], TWINS)
    names = [(c.kind, c.row.group, c.row.pretext, c.base.group, c.base.pretext) for c in found]
    assert [name for name in names if name[0] == "twin"] == [
        ("twin", group, "eq_labels", group, "labels") for group in ("trivial", "C4")
    ]
    assert len([name for name in names if name[0] == "random"]) == 2 * 3
    assert [name[2] for name in names if name[0] == "trivial"] == [
        "eq_labels",
        "labels",
        "random",
        "supervised",
    ]
    for item in found:
        left, right = item.row.estimate("acc_stored_100"), item.base.estimate("acc_stored_100")
        difference = item.differences["acc_stored_100"]
        assert difference.value == pytest.approx(left.value - right.value)
        assert difference.apart is (left.lo > right.hi or right.lo > left.hi)
    assert {item.differences["acc_stored_100"].apart for item in found} == {True, False}


def test_rows_of_different_data_sets_are_not_compared(tmp_path):
    cells = read_cells(
        write_grid(tmp_path / "a", ("one",), ("C4",), ("eq_labels",), (0,))
        + write_grid(tmp_path / "b", ("two",), ("C4",), ("labels", "random"), (0,))
    )
    found = comparisons(rows_of(cells), ["acc_stored_100"], TWINS)
    assert [(item.kind, item.row.dataset, item.base.dataset) for item in found] == [("random", "two", "two")]


def test_a_number_that_one_side_lacks_gives_no_difference(rows):
    found = comparisons(rows, ["acc_absent_100"], TWINS)
    assert found
    assert all(item.differences["acc_absent_100"] is None for item in found)
