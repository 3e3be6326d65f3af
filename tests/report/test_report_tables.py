import json
from statistics import mean

import pytest
from sealed import resealed

from eqssl.config.grid import IDENTITY
from eqssl.machine.records import write_record
from eqssl.report.cells import read_cells
from eqssl.report.tables import best_of, main_columns, may_be_best, rows_of


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


def test_a_few_columns_come_first_and_the_rest_on_demand(rows):
    columns = main_columns([cell for row in rows for cell in row.cells])
    first = [column.key for column in columns if not column.extra]
    assert first == [
        *(f"acc_{view}_{share}" for share in (100, 10) for view in ("stored", "grid", "angle")),
        "flops",
    ]
    assert [column.extra for column in columns] == sorted(column.extra for column in columns)
    assert {"acc_angle_1", "knn_grid", "reg_acc_grid_100", "parameters", "equivariance_error"} <= {
        column.key for column in columns if column.extra
    }


def tuned(path, **accuracies):
    """The finetune.json of the cell whose metrics.json this is."""
    values = {key: json.loads(path.read_text())[key] for key in IDENTITY}
    ends = {f"{name}{end}": x for name, x in accuracies.items() for end in ("", "_lo", "_hi")}
    out = path.with_name("finetune.json")
    write_record(out, {**values, **ends, "job": {}, "details": {}})
    return out


def test_fine_tuned_accuracies_are_those_of_their_cells(grid):
    first, second = grid[0][0], grid[1][0]
    records = [tuned(second, fine_acc_stored_10=0.7), tuned(first, fine_acc_stored_10=0.6)]
    cells = read_cells(grid, records)
    by_path = {cell.path: cell for cell in cells}
    assert by_path[first].estimate("fine_acc_stored_10").value == 0.6
    assert by_path[second].estimate("fine_acc_stored_10").value == 0.7
    assert [len(cell.seals) for cell in cells].count(2) == 2
    column = next(c for c in main_columns(cells) if c.key.startswith("fine"))
    assert (column.key, column.section, column.extra) == ("fine_acc_stored_10", "Fine-tuned, 10 %", True)
    assert "fine_acc_stored_10" not in {c.key for c in main_columns(read_cells(grid))}
    with pytest.raises(ValueError, match=r"finetune\.json: the metrics\.json of its cell were not given"):
        read_cells(grid[1:], records)


def test_other_probes_earlier_stages_and_turned_images_have_columns_if_they_were_measured(grid):
    added = {
        "ridge_acc_stored_100": "Ridge, 100 %",
        "svm_acc_angle_100": "Linear SVM, 100 %",
        "stage_2_acc_grid_100": "Stage 2 from the end, 100 %",
        "stage_2_svm_acc_grid_100": "Linear SVM, stage 2 from the end, 100 %",
        "agreement_angle": "Agreement",
        "turn_r2": "R2 of the turn",
        "retrieval_mrr": "Retrieval",
    }
    resealed(grid[0][0], lambda values: values.update(dict.fromkeys([*added, "ridge_acc_stored_1"], 0.5)))
    found = {column.key: column.section for column in main_columns(read_cells(grid)) if column.extra}
    assert {key: found.get(key) for key in added} == added
    assert "ridge_acc_stored_1" not in found  # the largest share alone: the table has many columns already
