"""Two cells, or the seeds of two entries, compared number by number."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from feature_cells import probe_job, write_cell
from rich.console import Console

from eqssl.config.grid import Cell
from eqssl.evaluation.comparison import Subject, compare
from eqssl.evaluation.grid_cells import GridCells
from eqssl.evaluation.paired import paired_difference, seed_difference
from eqssl.evaluation.probing import evaluate
from eqssl.evaluation.subjects import subject
from eqssl.machine.cell_numbers import read_metrics
from eqssl.machine.store import published
from eqssl.report.claims_console import print_comparison


def made(name, accuracies, right=None):
    numbers = {seed: {"acc_stored_100": value, "epochs": 5.0} for seed, value in accuracies.items()}
    shares = {seed: {"acc_stored_100": np.array(row)} for seed, row in (right or {}).items()}
    return Subject(name, numbers, shares)


def test_seeds_are_paired_and_images_too_where_they_are_known():
    first = made("a", {0: 0.75, 1: 0.5}, {0: [1, 1, 1, 0], 1: [1, 0, 1, 0.0]})
    second = made("b", {0: 0.5, 1: 0.5}, {0: [1, 0, 1, 0], 1: [0, 0, 1, 1.0]})
    found = compare(first, second)
    (line,) = found.lines
    assert (line.metric, line.first, line.second) == ("acc_stored_100", 0.625, 0.5)
    assert line.difference == paired_difference(np.array([[0, 1, 0, 0], [1, 0, 0, -1.0]]))
    assert "seeds and test images" in found.note
    without = compare(made("a", {0: 0.75, 1: 0.5}), second)
    assert without.lines[0].difference == seed_difference([0.25, 0.0])
    assert "interval over seeds" in without.note


def test_single_cells_of_different_seeds_are_compared_and_it_is_said():
    found = compare(made("a", {0: 0.5}, {0: [1, 0.0]}), made("b", {1: 1.0}, {1: [1, 1.0]}))
    assert found.seeds == [(0, 1)]
    assert "seed 0 against seed 1" in found.note
    with pytest.raises(ValueError, match="no common seed: a has 0, 1; b has 2"):
        compare(made("a", {0: 0.5, 1: 0.5}), made("b", {2: 0.5}))


def test_images_that_are_known_to_be_others_are_not_paired():
    right = {0: [1, 1, 1, 0], 1: [1, 0, 1, 0.0]}
    first = made("a", {0: 0.75, 1: 0.5}, right)._replace(images="these")
    second = made("b", {0: 0.75, 1: 0.5}, right)
    same, unknown = (compare(first, second._replace(images=images)) for images in ("these", None))
    assert same.lines[0].difference == unknown.lines[0].difference == paired_difference(np.zeros((2, 4)))
    apart = compare(first, second._replace(images="those"))
    assert apart.lines[0].difference == seed_difference([0.0, 0.0])
    assert apart.note.endswith("95 % interval over seeds; other test images")
    alone = (made(name, {0: 0.75}, {0: right[0]})._replace(images=name) for name in "ab")
    assert compare(*alone).note == "One seed, and other test images: no interval is known"


def test_nothing_in_common_is_an_error():
    with pytest.raises(ValueError, match="a and b have no accuracy in common"):
        compare(made("a", {0: 0.5}), Subject("b", {0: {"epochs": 5.0}}, {}))


def test_a_cell_is_found_by_its_files_and_compared_with_itself_differs_by_nothing(tmp_path):
    evaluation, encoder = write_cell(tmp_path)
    evaluate(probe_job(), evaluation, encoder, tmp_path / "probe")
    by_folder = subject(str(tmp_path / "probe"), [])
    by_file = subject(str(tmp_path / "probe/metrics.json"), [])
    found = compare(by_folder, by_file)
    assert {line.metric for line in found.lines} >= {"acc_stored_100", "reg_acc_grid_1", "knn_angle"}
    assert all(line.difference.mean == 0 for line in found.lines)
    assert {line.difference.p for line in found.lines if line.difference.images} == {1.0}
    assert {line.difference.p for line in found.lines if not line.difference.images} <= {None}
    (tmp_path / "probe/correct.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"correct\.parquet: SHA-256"):
        subject(str(tmp_path / "probe"), [])


def test_cells_are_found_by_their_names_in_the_grid(tmp_path, monkeypatch):
    cells = [Cell(dataset="d", group="C4", pretext="random", seed=seed) for seed in (0, 1)]
    grid = GridCells("d", {cell: {"acc_stored_100": 0.5} for cell in cells}, {})
    assert set(subject("C4/random", [grid]).numbers) == {0, 1}
    assert set(subject("d/C4/random/s1", [grid]).numbers) == {1}
    monkeypatch.chdir(tmp_path)
    said = r"experiment 'D4/random': .* no file or cell of the grid .* did you mean 'C4/random'"
    with pytest.raises(ValueError, match=said):
        subject("D4/random", [grid])
    with pytest.raises(ValueError, match="did you mean 'd/C4/random/s1'"):
        subject("d/C4/randm/s1", [grid])
    (tmp_path / "grid.csv").write_text("dataset,group,pretext,seed\n")
    with pytest.raises(ValueError, match=r"grid\.csv: is a table, allowed: with --grid"):
        subject("grid.csv", [grid])


def test_a_name_that_fits_several_tables_or_data_sets_is_refused(tmp_path, monkeypatch):
    def table(dataset, group):
        cell = Cell(dataset=dataset, group=group, pretext="random", seed=0)
        return GridCells(dataset, {cell: {"acc_stored_100": 0.5}}, {})

    first, again, second = table("d", "C4"), table("d", "C4"), table("e", "C4")
    assert set(subject("C4/random", [table("d", "D4"), first]).numbers) == {0}
    with pytest.raises(ValueError, match="C4/random: is in several tables, allowed: one --grid that has it"):
        subject("C4/random", [first, again])
    with pytest.raises(ValueError, match=r"is in the data sets d, e, allowed: .*, d/C4/random"):
        subject("C4/random", [first, second])
    assert set(subject("e/C4/random", [first, second]).numbers) == {0}


def test_a_published_copy_stands_for_its_cell_unless_it_differs(tmp_path):
    evaluation, encoder = write_cell(tmp_path)
    evaluate(probe_job(), evaluation, encoder, tmp_path / "probe")
    values = read_metrics(tmp_path / "probe/metrics.json").values
    place = Path("results/{dataset}/{group}/{pretext}/s{seed}-1/eval-1/probe-1".format(**values))
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / "probe").rename(tmp_path / place)
    (tmp_path / "metrics").mkdir()
    copy = tmp_path / "metrics/cell.json"
    copy.write_text(json.dumps(published(values)))
    assert subject(str(copy), []).numbers == subject(str(tmp_path / place), []).numbers
    copy.write_text(json.dumps(published(values) | {"acc_stored_100": 0.125}))
    with pytest.raises(ValueError, match=r"cell\.json: differs from .*metrics\.json: other numbers"):
        subject(str(copy), [])


def test_the_printed_lines_hold_numbers_and_what_they_speak_of():
    first, second = made("one", {0: 0.75}, {0: [1, 1, 1, 0.0]}), made("two", {0: 0.5}, {0: [1, 0, 1, 0.0]})
    console = Console(width=100, record=True, color_system=None)
    with console.capture() as capture:
        print_comparison(first, second, compare(first, second), console)
    text = capture.get()
    assert "A: one" in text
    assert "75.00  50.00" in text
    assert "+25.00" in text
    assert "says nothing of another" in text


def committed(folder, name, dataset, actual, predicted):
    """A commit with an active cell, named by a tag."""
    right = sum(a == b for a, b in zip(actual, predicted, strict=True))
    (folder / "metrics").mkdir(exist_ok=True)
    cell = {"dataset": dataset, "seed": 0, "acc_stored_100": right / len(actual)}
    (folder / "metrics/cell.json").write_text(json.dumps(cell))
    rows = [f"{a},{b}\n" for a, b in zip(actual, predicted, strict=True)]
    (folder / "metrics/predictions.csv").write_text("actual,predicted\n" + "".join(rows))
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.org")
    for command in (("add", "-A"), ("commit", "-qm", name), ("tag", name)):
        subprocess.run([*git, *command], cwd=folder, check=True)


def test_experiments_are_paired_by_image_unless_their_test_images_are_others(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    committed(tmp_path, "first", "d", "0011", "0010")
    committed(tmp_path, "same_images", "d", "0011", "1010")
    committed(tmp_path, "other_order", "d", "0101", "0110")
    committed(tmp_path, "other_data", "e", "0011", "1010")
    monkeypatch.chdir(tmp_path)
    first = subject("first", [])
    paired = compare(first, subject("same_images", [])).lines[0].difference
    assert paired == paired_difference(np.array([[1, 0, 0, 0.0]]))
    for other in ("other_order", "other_data"):
        found = compare(first, subject(other, []))
        assert found.lines[0].difference.mean == 0.25
        assert found.note == "One seed, and other test images: no interval is known"
