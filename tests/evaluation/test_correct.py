"""Which test images were classified correctly: the file that paired comparisons read."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feature_cells import probe_job, write_cell

from eqssl.evaluation.correct import DRAWS, read_correct, write_correct
from eqssl.evaluation.probing import evaluate


def test_its_means_are_the_accuracies_of_the_cell(tmp_path):
    evaluation, encoder = write_cell(tmp_path)
    evaluate(probe_job(), evaluation, encoder, tmp_path / "probe")
    metrics = json.loads((tmp_path / "probe/metrics.json").read_text())
    table = read_correct(tmp_path / "probe/correct.parquet")
    named = [name for name in metrics if re.fullmatch(r"(reg_)?acc_[a-z]+_\d+|knn_[a-z]+", name)]
    assert sorted(table.counts) == sorted(named)
    for name in named:
        assert table.shares(name).mean() == pytest.approx(metrics[name], abs=1e-12)
    with (tmp_path / "probe/predictions.csv").open(newline="") as file:
        right = [row["actual"] == row["predicted"] for row in csv.DictReader(file)]
    assert table.shares("acc_stored_100").tolist() == right
    assert len(set(table.keys)) == len(right)


def test_it_reads_back_what_was_written(tmp_path):
    correct = {
        "one": np.array([[True, False]]),
        "three": np.array([[True, True], [False, True], [False, True]]),
    }
    write_correct(tmp_path / "c.parquet", ["a", "b"], correct)
    table = read_correct(tmp_path / "c.parquet")
    assert table.keys == ["a", "b"]
    assert table.draws == {"one": 1, "three": 3}
    assert table.counts["three"].tolist() == [1, 3]
    assert table.shares("three").tolist() == [1 / 3, 1.0]


def test_a_damaged_or_foreign_file_is_refused_with_its_name(tmp_path):
    path = tmp_path / "c.parquet"
    write_correct(path, ["a"] * 1000, {"one": np.ones((1, 1000), bool)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"c\.parquet: damaged"):
        read_correct(path)
    pq.write_table(pa.table({"key": ["a"]}), path)
    with pytest.raises(ValueError, match=r"c\.parquet: columns"):
        read_correct(path)
    schema = pa.schema([("key", pa.string()), ("one", pa.uint8())], metadata={DRAWS: b'{"one": 1}'})
    pq.write_table(pa.table([["a"], pa.array([2], pa.uint8())], schema=schema), path)
    with pytest.raises(ValueError, match="column one: has numbers above the 1 probes"):
        read_correct(path)
