"""Reports of data without labels, alone and beside data with labels."""

import csv
import json
import re

import pytest
from rich.console import Console
from sealed import resealed
from test_report_html import Tags
from written_grid import TWINS, metrics, unlabelled, write_cell, write_grid

from eqssl.evaluation.summary import summarise
from eqssl.machine.records import read_record
from eqssl.report import print_table, write_report

PRETEXTS = ("eq_labels", "labels", "inv_contrastive", "random")
ACCURACY = re.compile(r"(reg_)?acc_|knn_")


@pytest.fixture
def alone(tmp_path):
    return write_unlabelled(tmp_path / "sky", "sky")


@pytest.fixture
def mixed(tmp_path, alone):
    return write_grid(tmp_path / "clothes", datasets=("clothes",), pretexts=PRETEXTS, seeds=(0,)) + alone


def write_unlabelled(folder, dataset, **told):
    return [
        write_cell(folder, unlabelled(metrics(dataset, group, pretext, 0), **told))
        for group in ("trivial", "C4")
        for pretext in PRETEXTS
    ]


def table_of(folder, cells):
    summarise([path for path, _ in cells], folder / "grid.csv", folder / "grid.json")
    return folder / "grid.csv", json.loads((folder / "grid.json").read_text())


def printed(table):
    console = Console(width=100, record=True, color_system=None)
    with console.capture() as capture:
        print_table(table, console, TWINS)
    return capture.get()


def page_of(folder, cells):
    write_report(cells, folder / "index.html", TWINS)
    text = (folder / "index.html").read_text()
    assert Tags(text).open == []
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_table_of_both_has_empty_fields_where_there_are_no_labels(tmp_path, mixed):
    table, summary = table_of(tmp_path, mixed)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    for row in rows:
        given = {name for name, text in row.items() if ACCURACY.match(name) and text}
        assert bool(given) == (row["dataset"] == "clothes")
        assert bool(row["retrieval_mrr"]) == (row["dataset"] == "sky")
        assert float(row["equivariance_error"]) >= 0
    cells = {path: read_record(path).values for path, _ in mixed}
    for row in rows:
        (values,) = [
            v for v in cells.values() if all(str(v[k]) == row[k] for k in ("dataset", "group", "pretext"))
        ]
        for name, text in row.items():
            assert text == ("" if name not in values else str(values[name]))
    assert summary["sky"]["C4"]["eq_labels"].keys() == {
        *("equivariance_error", "retrieval_hit_1", "retrieval_hit_5", "retrieval_mrr"),
        *(f"pretext_{name}" for name in ("accuracy", "chance", "orbit_ceiling", "orbit_accuracy")),
        *("pretext_accuracy_apart", "pretext_surviving"),
    }
    assert "acc_stored_100" in summary["clothes"]["C4"]["eq_labels"]


def test_the_table_of_data_without_labels_alone_has_no_accuracies(tmp_path, alone):
    table, _ = table_of(tmp_path, alone)
    header = table.read_text().splitlines()[0].split(",")
    assert not [name for name in header if ACCURACY.match(name)]
    assert {"retrieval_hit_1", "retrieval_mrr", "pretext_accuracy"} <= set(header)


def test_cells_of_one_data_set_with_and_without_accuracies_are_refused(tmp_path, alone):
    cells = [*alone, write_cell(tmp_path / "other", metrics("sky", "D4", "labels", 0))]
    with pytest.raises(ValueError, match=r"acc_stored_1: not in every cell of sky; all need the same views"):
        table_of(tmp_path, cells)


def test_the_terminal_shows_each_data_set_what_it_has(tmp_path, mixed, alone):
    text = printed(table_of(tmp_path, mixed)[0])
    assert max(map(len, text.splitlines())) <= 100
    clothes, sky = text[: text.index("sky")], text[text.index("sky") :]
    assert "hit 1" not in clothes
    assert "k-NN" in clothes
    assert "k-NN" not in sky
    line = next(line for line in sky.splitlines() if " eq_labels " in line).split()
    values = unlabelled(metrics("sky", "trivial", "eq_labels", 0))
    assert line[1:4] == ["88.0", "97.0", "0.910"]
    assert line[4] == f"{100 * values['pretext_accuracy']:.1f}"
    assert "accuracy in %, ± half" in " ".join(text.split())
    only = printed(table_of(tmp_path, alone)[0])
    assert "accuracy in %, ± half" not in " ".join(only.split())
    assert "whose own stored image" in " ".join(only.split())


def test_a_report_of_data_without_labels_says_why_and_shows_what_there_is(tmp_path, alone):
    text = page_of(tmp_path, alone)
    assert text.count("sky: No accuracies: no image has a label.") == 1
    assert set(re.findall(r'<figure id="figure-(\w+)"', text)) == {
        "loss",
        "embeddings",
        "pretext",
        "equivariance",
        "change",
    }
    assert [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", text)] == [1, 2, 3, 4, 5]
    for absent in (
        "No figure",
        "k-NN",
        "Accuracies in per cent",
        "chance is",
        'id="differences"',
        'id="regular"',
    ):
        assert absent not in text
    table = text[text.index('id="main-1"') : text.index("</table>", text.index('id="main-1"'))]
    for heading in ("Retrieval", "hit 1", "hit 5", "MRR", "Pretext", "Equivariance"):
        assert f">{heading}<" in table
    assert "0.910" in table
    assert ">88.0<" in table
    assert "ridge" not in text[text.index('id="measurements"') :]


def test_a_report_of_both_keeps_the_tables_apart(tmp_path, mixed):
    text = page_of(tmp_path, mixed)
    tables = [text[text.index(f'id="main-{n}"') :].partition("</table>")[0] for n in (1, 2)]
    assert "k-NN" in tables[0]
    assert "Retrieval" not in tables[0]
    assert "k-NN" not in tables[1]
    assert "Retrieval" in tables[1]
    assert 'id="regular-1"' in text
    assert 'id="regular-2"' not in text
    first = text[text.index('id="answers"') : text.index('id="by-labels"')]
    assert "clothes: differences of accuracy" in first
    assert "sky: differences" not in first
    assert "sky: no accuracies were measured" in first
    assert text.count("No accuracies: ") == 1


def test_a_report_says_how_many_images_have_a_label(tmp_path):
    cells = write_grid(tmp_path / "r", pretexts=("labels",), seeds=(0,))
    counts = {
        "train": {"images": 1200, "labelled": 30},
        "val": {"images": 130, "labelled": 130},
        "test": {"images": 50, "labelled": 7},
    }
    for path, _ in cells:
        resealed(path, lambda values: values["details"].update(labels=counts))
    text = page_of(tmp_path, cells)
    words = "images with a label alone: 30 of 1,200 training images, 7 of 50 test images."
    assert text.count(words) == 1


def test_a_report_warns_of_what_few_labels_left_out(tmp_path):
    cells = write_grid(tmp_path / "r", pretexts=("labels",), groups=("C4",), seeds=(0,))
    reason = "1 % of the labels: class 'cat' has 5 training images"
    resealed(cells[0][0], lambda values: values["details"].update(left_out=[reason]))
    text = page_of(tmp_path, cells)
    assert (
        "seed 0: left out: 1 % of the labels: class &#39;cat&#39; has 5"
        in text[text.index('id="warnings"') :]
    )
