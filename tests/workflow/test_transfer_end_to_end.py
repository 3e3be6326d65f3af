"""Two tiny data sets of different sizes: the encoder of one is judged on the images of the other."""

from __future__ import annotations

import csv
import json

import pytest
from project_copy import Project

from eqssl.config import jobs
from eqssl.config.grid import IDENTITY
from eqssl.config.params import Params
from eqssl.machine import verify

NAMES = ("target", *IDENTITY)


@pytest.fixture
def paired(project: Project) -> Project:
    """One cell of one data set; the other one has smaller images and is not turned."""
    path = Params.load(project.folder / "params.yaml").datasets["small"].plain()["path"]
    project.change(
        datasets={"other": {"source": "parquet", "path": path, "size": 20, "turned": False}},
        transfer={"datasets": ["small", "other"]},
        grid={"group": ["D4"], "pretext": ["random"]},
        group="D4",
        pretext="random",
    )
    return project


def test_an_encoder_is_judged_on_another_data_set(paired: Project) -> None:
    paired.eqssl("run", "--cores", "2", "metrics/transfer.csv")
    params = Params.load(paired.folder / "params.yaml")
    table = paired.folder / "metrics/transfer.csv"
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)  # its own data set is skipped
    record = paired.folder / jobs.transfer_probe_folder(params, params.cell, "other") / "metrics.json"
    metrics = json.loads(record.read_text())
    assert [row[name] for name in NAMES] == [str(metrics[name]) for name in NAMES]
    assert list(row)[:5] == list(NAMES)
    assert row["target"] == "other"
    assert float(row["acc_stored_100"]) == metrics["acc_stored_100"] > 0.15  # ten classes
    assert float(row["equivariance_error"]) < 1e-5
    assert verify.faults(params, paired.folder) == []
    assert not (paired.folder / jobs.evaluation_folder(params, params.cell)).exists()  # nothing else was made

    text = table.read_text()
    table.write_text(text.replace("other,small,D4", "other,small,C4"))
    (fault,) = verify.faults(params, paired.folder)
    assert fault.reason == f"{table}: other small C4 random 0: is not a cell of this grid"
    table.write_text(text)
    record.unlink()  # beside its tables, so that it was lost
    (fault,) = verify.faults(params, paired.folder)
    assert fault.reason == f"{record}: missing"
