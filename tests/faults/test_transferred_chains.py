"""`eqssl verify` and `eqssl trace` on a transfer: its files and its links, down to both data sets."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from damages import flip_at
from sealed import resealed
from small_results import Results
from training_fixtures import Pictures

from eqssl.config import jobs
from eqssl.config.params import Params
from eqssl.data.shards.writing import write_source
from eqssl.evaluation.features import extract
from eqssl.evaluation.probing import evaluate
from eqssl.evaluation.transfer_table import write_transfer_table
from eqssl.machine import verify
from eqssl.machine.tracing.walking import trace
from eqssl.machine.transferred import read_transferred
from eqssl.report.trace import trace_lines

TARGET = "others"
LINKS = ["number", "probe", "features", "target", "training", "encoder", "shards", "source"]
LINK_OF = {
    "target/index.json": "target",
    "target/val-00000.tar": "target",
    "own/index.json": "shards",
    "encoder/encoder.safetensors": "encoder",
    "encoder/loss.csv": "training",
    "features/features/train.parquet": "features",
    "features/equivariance.json": "features",
    "probe/correct.parquet": "probe",
    "probe/metrics.json": "probe",
}


def places(results: Results) -> dict[str, Path]:
    """The folders of the transfer of the first cell."""
    params, cell = results.params, results.params.cell
    folders = {
        "target": jobs.shard_folder(params, TARGET),
        "own": jobs.shard_folder(params, cell.dataset),
        "encoder": jobs.cell_folder(params, cell),
        "features": jobs.transfer_folder(params, cell, TARGET),
        "probe": jobs.transfer_probe_folder(params, cell, TARGET),
    }
    return {name: results.root / folder for name, folder in folders.items()}


def path_of(results: Results, name: str) -> Path:
    folder, _, file = name.partition("/")
    return places(results)[folder] / file


@pytest.fixture(scope="module")
def transferred(built: Results, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results with another data set, and the transfer of a grid of one cell."""
    values = built.params.plain()
    values["datasets"][TARGET] = values["datasets"]["pictures"]
    values["transfer"] = {"datasets": [TARGET]}
    values["grid"] |= {"group": ["C4"], "seed": [0]}
    results = Results(tmp_path_factory.mktemp("transfer") / "project", Params.check(values))
    shutil.copytree(built.root, results.root)
    shutil.rmtree(results.root / "metrics")
    params, folders = results.params, places(results)
    write_source(Pictures(), jobs.shard_job(params, TARGET), folders["target"])
    job, cell = jobs.transfer_job(params, TARGET), jobs.pretrain_job(params, params.cell).digest
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQSSL_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        extract(job, folders["target"], folders["encoder"], folders["features"], "cpu", cell)
    probes = jobs.probe_job(params)
    evaluate(probes, folders["features"], folders["encoder"], folders["probe"], cell, job.digest)
    write_transfer_table([folders["probe"] / "metrics.json"], results.root / "metrics/transfer.csv")
    return results


@pytest.fixture
def results(transferred: Results, tmp_path: Path) -> Results:
    """A copy that a test may damage."""
    shutil.copytree(transferred.root, tmp_path / "project")
    return Results(tmp_path / "project", transferred.params)


def faults(results: Results) -> dict[Path, str]:
    return {fault.path: fault.reason for fault in verify.faults(results.params, results.root)}


def test_a_whole_chain_holds_down_to_both_data_sets(results: Results) -> None:
    assert faults(results) == {}
    found = trace(path_of(results, "probe/metrics.json"))
    assert [link.name for link in found.links] == LINKS
    assert [link.holds for link in found.links] == [True] * 7 + [None]
    link = {one.name: one for one in found.links}
    assert link["target"].path == path_of(results, "target/index.json")
    assert link["target"].facts["dataset"] == TARGET
    assert link["shards"].path == path_of(results, "own/index.json")
    text = "\n".join(trace_lines(found))
    assert "read on     others" in text
    assert text.endswith("every link holds")


@pytest.mark.parametrize("name", LINK_OF)
def test_a_damaged_file_is_named_by_verify_and_by_its_link(results: Results, name: str) -> None:
    path = path_of(results, name)
    flip_at(path, 0.5)
    assert path in faults(results)
    found = trace(path_of(results, "probe/metrics.json"))
    assert LINK_OF[name] in {link.name for link in found.links if path in {f.path for f in link.faults}}


@pytest.mark.parametrize("name", ["features/equivariance.json", "probe/metrics.json"])
def test_a_lost_record_is_made_again(results: Results, name: str) -> None:
    path_of(results, name).unlink()
    assert faults(results)[path_of(results, name)] == f"{path_of(results, name)}: missing"


def test_features_of_other_shards_of_the_target_are_named(results: Results) -> None:
    index, features = path_of(results, "target/index.json"), path_of(results, "features/equivariance.json")
    resealed(features, lambda values: values["target"].update(data="0" * 64))
    resealed(features, data=path_of(results, "own/index.json"))
    reason = faults(results)[features]
    assert f"was not made of this data: given {index}" in reason
    assert "features" in {
        link.name for link in trace(path_of(results, "probe/metrics.json")).links if link.faults
    }


def test_a_table_that_differs_is_named(results: Results) -> None:
    table = results.root / "metrics/transfer.csv"
    with table.open(newline="") as file:
        header, row = csv.reader(file)
    values = json.loads(path_of(results, "probe/metrics.json").read_text())
    assert dict(zip(header, row, strict=True))["acc_stored_100"] == repr(values["acc_stored_100"])
    for column, value in (("acc_stored_100", "0.123"), ("target", "pictures"), ("seed", "1")):
        changed = [value if name == column else given for name, given in zip(header, row, strict=True)]
        table.write_text(f"{','.join(header)}\n{','.join(changed)}\n")
        assert str(table) in faults(results)[table]
    table.write_text(f"{','.join(header)}\n")
    assert "others pictures C4 mine 0: missing" in faults(results)[table]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("target", None, "target: given None, expected a name"),
        ("target", "a/b", "target: given 'a/b', expected a name"),
        ("target", "pictures", "target: given 'pictures', but its features are of "),
        ("dataset", "others", "dataset: given 'others', but its job has 'pictures'"),
        ("acc_stored_100", 1.5, "acc_stored_100: given 1.5, expected an accuracy"),
        ("details", None, "details: given None, expected a table"),
    ],
)
def test_an_impossible_value_under_a_right_seal_is_named(
    results: Results, key: str, value: object, reason: str
) -> None:
    path = path_of(results, "probe/metrics.json")
    resealed(path, lambda values: values.update({key: value}))
    with pytest.raises(ValueError, match=r"metrics\.json: ") as caught:
        read_transferred(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path in faults(results)


def test_a_table_needs_transfers_and_each_of_them_once(results: Results, tmp_path: Path) -> None:
    metrics = path_of(results, "probe/metrics.json")
    for given, reason in (
        ([], "no metrics.json"),
        ([metrics] * 2, "C4 mine seed 0 on others is given twice"),
    ):
        with pytest.raises(ValueError, match=reason):
            write_transfer_table(given, tmp_path / "table.csv")
    own = results.path("metrics.json")
    with pytest.raises(ValueError, match=r"metrics\.json: target: missing"):
        write_transfer_table([own], tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


def test_a_table_of_transfers_is_not_traced_as_one_of_cells(results: Results) -> None:
    with pytest.raises(
        ValueError, match=r"transfer\.csv: is a table of transfers, allowed: the metrics\.json"
    ):
        trace(results.root / "metrics/transfer.csv", cell="pictures/C4/mine/s0")
