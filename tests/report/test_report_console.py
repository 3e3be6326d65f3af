import csv
import json

import pytest
from rich.console import Console
from written_grid import TWINS, write_grid

from eqssl.machine.records import read_record
from eqssl.report import print_table

SIX = ("eq_labels", "labels", "inv_contrastive", "contrastive", "random", "supervised")


def write_table(path, cells):
    """metrics/grid.csv of cells, written here and not by the code that the pipeline uses."""
    found = [read_record(file).values for file, _ in cells]
    rows = [{key: value for key, value in values.items() if key != "details"} for values in found]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def printed(table, width=100, twins=TWINS):
    console = Console(width=width, record=True, color_system=None)
    with console.capture() as capture:
        print_table(table, console, twins)
    return capture.get()


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_table_fits_in_100_columns_on_one_line_each(tmp_path, seeds):
    cells = write_grid(tmp_path / "r", groups=("trivial", "C4", "D4"), pretexts=SIX, seeds=seeds)
    text = printed(write_table(tmp_path / "grid.csv", cells))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "fashion_mnist_rot_sample" in lines[0]
    assert ("means over 3 seeds" in lines[0]) == (len(seeds) == 3)
    assert all(text.count(f" {name} ") == 3 for name in SIX)
    assert "…" not in text


def test_printed_numbers_are_those_of_metrics_json(tmp_path):
    cells = write_grid(tmp_path / "r", groups=("C4",), pretexts=("eq_labels",), seeds=(0,))
    values = json.loads(cells[0][0].read_text())
    line = next(
        x for x in printed(write_table(tmp_path / "grid.csv", cells)).splitlines() if "eq_labels" in x
    )
    for key in (
        "acc_stored_100",
        "acc_grid_100",
        "acc_angle_100",
        "acc_stored_10",
        "acc_stored_1",
        "knn_stored",
    ):
        assert f"{100 * values[key]:.1f} ±0.9" in line
    assert line.split()[-1] == f"{values['equivariance_error']:.0e}"


def test_a_column_counts_the_seeds_where_they_differ(tmp_path):
    cells = write_grid(tmp_path / "r", groups=("C4",), pretexts=("labels", "random"))[:-1]
    lines = printed(write_table(tmp_path / "grid.csv", cells)).splitlines()
    assert next(line for line in lines if " labels " in line).split()[2] == "2"
    assert next(line for line in lines if " random " in line).split()[1] == "1"


def test_twins_stand_together_and_references_last(tmp_path):
    cells = write_grid(tmp_path / "r", groups=("D4", "trivial"), pretexts=SIX[::-1], seeds=(0,))
    lines = printed(write_table(tmp_path / "grid.csv", cells)).splitlines()
    order = [word for line in lines for word in line.split()[:2] if word in (*SIX, "trivial", "D4")]
    assert order == [
        *("trivial", "inv_contrastive", "contrastive", "eq_labels", "labels", "random", "supervised"),
        *("D4", "inv_contrastive", "contrastive", "eq_labels", "labels", "random", "supervised"),
    ]


def test_each_data_set_has_its_own_table(tmp_path):
    cells = write_grid(tmp_path / "r", datasets=("one", "two"), seeds=(0,))
    assert [line.strip() for line in printed(write_table(tmp_path / "grid.csv", cells)).splitlines()].count(
        "two"
    ) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the header lacks dataset, group, pretext, seed"),
        ("dataset,group,pretext,seed,acc_stored_100\n", "no cells"),
        ("dataset,group,pretext,seed,acc_stored_100\nd,C4,labels,0,high\n", "line 2: could not convert"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text, reason):
    path = tmp_path / "grid.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason) as caught:
        print_table(path)
    assert str(caught.value).startswith(str(path))
