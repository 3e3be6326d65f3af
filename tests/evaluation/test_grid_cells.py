"""Grids for comparisons: from a table alone, with a bundle beside it, or from the cells' folders."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from eqssl.config import jobs
from eqssl.config.grid import Cell
from eqssl.evaluation.bundling import bundle
from eqssl.evaluation.correct import read_correct, write_correct
from eqssl.evaluation.correct_bundle import read_bundle, write_bundle
from eqssl.evaluation.grid_cells import read_grid
from eqssl.machine.records import write_record

KEYS = ["a", "b", "c", "d"]
RIGHT = {0: [True, True, False, True], 1: [True, False, False, True]}


@pytest.fixture
def project(params, tmp_path):
    """Two cells with their files, and a table."""
    lines = ["dataset,group,pretext,seed,acc_stored_100,acc_grid_100"]
    for seed, right in RIGHT.items():
        cell = Cell(dataset="fashion_mnist_rot_sample", group="C4", pretext="random", seed=seed)
        path = tmp_path / jobs.probe_folder(params, cell) / "correct.parquet"
        path.parent.mkdir(parents=True)
        write_correct(path, KEYS, {"acc_stored_100": np.array([right])})
        made = {"versions": {"code": f"c{seed}", "processor": "p"}, "device": "cpu"}
        details = {
            "encoder": {"data": "d" * 64},
            "pretrain": made,
            "equivariance": {"versions": {"code": "f"}},
            "versions": {"code": "v"},
        }
        write_record(path.with_name("metrics.json"), {**cell.plain(), "details": details})
        lines.append(f"fashion_mnist_rot_sample,C4,random,{seed},{np.mean(right)},")
    (tmp_path / "grid.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_images_come_from_the_folders_or_from_the_bundle(params, project):
    (from_folders,) = read_grid(project / "grid.csv", params, project)
    (alone,) = read_grid(project / "grid.csv", None, project)
    bundle(project / "grid.csv", params, project / "published", project)
    (from_bundle,) = read_grid(project / "published.csv")
    assert (project / "published.csv").read_bytes() == (project / "grid.csv").read_bytes()
    assert from_folders.numbers == alone.numbers == from_bundle.numbers
    assert alone.right == {}
    assert from_folders.images == from_bundle.images == hashlib.sha256(b"a\nb\nc\nd").hexdigest()
    for cell, right in zip(from_folders.numbers, RIGHT.values(), strict=True):
        for cells in (from_folders, from_bundle):
            assert cells.right[cell]["acc_stored_100"].tolist() == right
    assert "acc_grid_100" not in from_folders.numbers[cell]


def test_a_bundle_says_on_what_and_by_which_code_its_cells_were_made(params, project):
    bundle(project / "grid.csv", params, project / "published", project)
    names = [f"fashion_mnist_rot_sample/C4/random/s{seed}" for seed in RIGHT]
    assert json.loads((project / "published.json").read_text()) == {
        "data": {"fashion_mnist_rot_sample": "d" * 64},
        "test_images": {"fashion_mnist_rot_sample": hashlib.sha256(b"a\nb\nc\nd").hexdigest()},
        "pretrain": [
            {"code": f"c{seed}", "processor": "p", "device": "cpu", "cells": [name]}
            for seed, name in enumerate(names)
        ],
        "features": [{"code": "f", "cells": names}],
        "probe": [{"code": "v", "cells": names}],
    }


def test_images_of_another_run_are_refused(params, project):
    table = project / "grid.csv"
    table.write_text(table.read_text().replace("random,1,0.5", "random,1,0.6"))
    with pytest.raises(ValueError, match=r"acc_stored_100: the images give 0\.5.* different runs"):
        read_grid(table, params, project)
    with pytest.raises(ValueError, match="different runs"):
        bundle(table, params, project / "published", project)


def test_a_bundle_needs_the_files_of_all_cells(params, project):
    cell = Cell(dataset="fashion_mnist_rot_sample", group="C4", pretext="random", seed=1)
    (project / jobs.probe_folder(params, cell) / "correct.parquet").unlink()
    with pytest.raises(ValueError, match=r"correct\.parquet: missing; the settings must be those"):
        bundle(project / "grid.csv", params, project / "published", project)
    assert not (project / "published.csv").exists()


def test_cells_of_other_test_images_are_not_bundled(tmp_path):
    tables = {}
    for seed, keys in ((0, ["a", "b"]), (1, ["b", "a"])):
        write_correct(tmp_path / f"{seed}.parquet", keys, {"m": np.array([[True, False]])})
        cell = Cell(dataset="d", group="C4", pretext="random", seed=seed)
        tables[cell] = read_correct(tmp_path / f"{seed}.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet: column key: other test images than in .*0\.parquet"):
        write_bundle(tmp_path / "b.parquet", tables, ("m",))


def test_a_damaged_bundle_is_refused_with_its_name(params, project):
    bundle(project / "grid.csv", params, project / "published", project)
    path = project / "published.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"published\.parquet: damaged"):
        read_bundle(path)
    path.write_bytes((project / "grid.csv").read_bytes())
    with pytest.raises(ValueError, match=r"published\.parquet: damaged"):
        read_grid(project / "published.csv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("d,C4,random,x,0.5,", r"seed: given 'x', allowed: a whole number"),
        ("d,C5,random,0,0.5,", r"group: "),
        ("d,C4,random,0,abc,", r"line 4: could not convert"),
        ("d,C4,random,0,1.5,", r"expected an accuracy between 0 and 1"),
    ],
)
def test_a_damaged_table_is_refused_with_its_name(project, row, reason):
    table = project / "grid.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ValueError, match=rf"grid\.csv: .*{reason}"):
        read_grid(table)


def test_cells_of_different_versions_of_a_data_set_are_not_published_together(params, project):
    second = max(project.rglob("metrics.json"))
    values = json.loads(second.read_text())
    values["details"]["encoder"]["data"] = "e" * 64
    write_record(
        second, {key: value for key, value in values.items() if key not in ("seal", "files", "made_of")}
    )
    with pytest.raises(ValueError, match=r"metrics\.json: data: is of another version than .*metrics\.json"):
        bundle(project / "grid.csv", params, project / "published", project)
    assert not (project / "published.csv").exists()
