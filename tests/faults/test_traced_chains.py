"""`eqssl trace` on results of the real steps: every link, every damage, and files that are none of ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from damages import Damage, damages, deleted, edited, flipped, folder
from sealed import resealed
from small_results import SHARDS, Results

from eqssl import cli
from eqssl.machine import verify
from eqssl.machine.files import sha256
from eqssl.machine.tracing.walking import Trace, trace
from eqssl.report.trace import UNKNOWN, trace_lines, trace_values

STEPS = ["number", "probe", "features", "training", "encoder", "shards", "source"]
LINK_OF = {
    **dict.fromkeys(SHARDS, "shards"),
    **dict.fromkeys(("encoder.safetensors", "encoder.json"), "encoder"),
    **dict.fromkeys(("loss.csv", "log.jsonl", "pretrain.json"), "training"),
    **dict.fromkeys(("train.parquet", "val.parquet", "test.parquet", "equivariance.json"), "features"),
    **dict.fromkeys(("metrics.json", "predictions.csv", "correct.parquet"), "probe"),
}
CELL = "pictures/C4/mine/s0"


@pytest.fixture
def results(built: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """A copy that a test may damage."""
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))
    shutil.copytree(built.root, tmp_path / "project")
    return Results(tmp_path / "project", built.params)


def metrics_of(results: Results) -> Path:
    return results.path("metrics.json")


def links_with_faults(found: Trace) -> set[str]:
    return {link.name for link in found.links if link.faults}


def command(results: Results, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main(["trace", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_whole_chain_holds_and_every_fact_is_that_of_its_record(results: Results) -> None:
    found = trace(metrics_of(results))
    assert [link.name for link in found.links] == STEPS
    assert [link.holds for link in found.links] == [True] * 6 + [None]
    content = {name: json.loads(results.path(name).read_text()) for name in LINK_OF if name.endswith(".json")}
    link = {one.name: one for one in found.links}
    records = {
        "probe": "metrics.json",
        "features": "equivariance.json",
        "training": "pretrain.json",
        "encoder": "encoder.json",
        "shards": "index.json",
    }
    for step, name in records.items():
        assert link[step].path == results.path(name)
        assert link[step].seal == content[name]["seal"]
        assert link[step].files == content[name]["files"]
        for file, stated in link[step].files.items():
            assert sha256(results.path(name).parent / file) == stated
    metrics, encoder, index = content["metrics.json"], content["encoder.json"], content["index.json"]
    assert found.number.value == metrics["acc_stored_100"]
    assert (found.number.low, found.number.high) == tuple(
        metrics[f"acc_stored_100_{x}"] for x in ("lo", "hi")
    )
    chosen = metrics["details"]["probes"]["invariant"]["100"][0]
    assert link["probe"].facts["strength"] == [chosen["strength"]]
    assert link["probe"].facts["converged"] == [chosen["refit"]["converged"]]
    assert link["probe"].facts["settings"] == results.params.probe.plain()
    assert link["features"].facts["rows"] == content["equivariance.json"]["rows"]
    assert len(link["features"].facts["code"]) == 12
    assert link["training"].facts["seconds"] == content["pretrain.json"]["seconds"]
    assert link["training"].facts["gpu"] == "none"
    assert link["training"].facts["epochs"] == 1
    assert link["training"].facts["warnings"] == []
    assert link["encoder"].facts["weights"] == sha256(results.path("encoder.safetensors"))
    counted = {split: len(columns["keys"]) for split, columns in index["splits"].items()}
    assert link["shards"].facts["images"] == link["shards"].facts["labelled"] == counted
    assert link["shards"].facts["tars"] == len(list(results.shards.glob("*.tar")))
    assert link["shards"].facts["bytes"] == sum(tar.stat().st_size for tar in results.shards.glob("*.tar"))
    assert link["source"].facts["origin"] == index["origin"] == encoder["origin"]
    assert link["source"].facts["raw_version"] is None
    assert link["training"].versions["torch"] == encoder["versions"]["torch"]


def test_an_undamaged_chain_is_readable_in_80_columns(results: Results) -> None:
    lines = list(trace_lines(trace(metrics_of(results))))
    # paths are not cut, and that of a test's folder may be long
    assert max(len(line) for line in lines if str(results.root) not in line) <= 80
    assert sum(line.startswith("holds  ") for line in lines) == 6
    assert lines[-1] == "every link holds"
    text = "\n".join(lines)
    assert "raw version not recorded" in text
    assert "device      cpu" in text
    for words in ("seal", "weights", "licence", "commit", "processor", "warnings    none"):
        assert words in text


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        pytest.param(name, damage, id=f"{name}-{damage.__name__}")
        for name in LINK_OF
        for damage in damages(name)
        if name != "metrics.json" or damage not in (deleted, folder)
    ],
)
def test_the_damaged_link_is_named_and_is_the_one_that_verify_names(
    results: Results, name: str, damage: Damage
) -> None:
    path = results.path(name)
    damage(results, name, path)
    expected = {fault.path: fault.reason for fault in verify.faults(results.params, results.root, grid=False)}
    found = trace(metrics_of(results))
    said = {fault.path: fault.reason for fault in found.faults}
    assert said.items() <= expected.items()
    assert path in said
    assert LINK_OF[name] in links_with_faults(found)
    lines = list(trace_lines(found))
    assert any(line.startswith(f"FAULT  {LINK_OF[name]}: ") for line in lines)
    assert lines[-1] == ("1 file is" if len(said) == 1 else f"{len(said)} files are") + " missing or damaged"
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", [name for name in LINK_OF if not name.endswith(".json")])
def test_only_the_damaged_link_is_broken(results: Results, name: str) -> None:
    flipped(results, name, results.path(name))
    assert links_with_faults(trace(metrics_of(results))) == {LINK_OF[name]}


def test_what_a_damaged_record_said_comes_from_the_copy_in_the_metrics(results: Results) -> None:
    whole = trace(metrics_of(results))
    for name in ("encoder.json", "pretrain.json", "equivariance.json"):
        results.path(name).unlink()
    found = trace(metrics_of(results))
    assert links_with_faults(found) == {"features", "training", "encoder"}
    for before, after in zip(whole.links, found.links, strict=True):
        same = {key: value for key, value in before.facts.items() if key != "code"}
        assert {key: value for key, value in after.facts.items() if key != "code"} == same
    assert found.links[2].facts["code"] is None


def test_without_both_that_say_where_the_shards_are_the_link_is_broken(results: Results) -> None:
    for name in ("encoder.json", "metrics.json"):
        edited(results, name, results.path(name))
    found = trace(metrics_of(results))
    assert links_with_faults(found) == {"probe", "encoder", "shards"}
    assert found.number.value is None
    assert found.links[0].holds is None
    lines = list(trace_lines(found))
    assert lines[0] == f"acc_stored_100 = {UNKNOWN}"
    assert "FAULT  shards: not found" in lines


def test_numbers_that_cannot_be_under_a_right_seal_are_a_fault(results: Results) -> None:
    resealed(metrics_of(results), lambda content: content.update(acc_stored_100=1.5))
    found = trace(metrics_of(results))
    assert links_with_faults(found) == {"probe"}
    assert "acc_stored_100: given 1.5" in found.faults[0].reason


DETAILS = [{}, {"probe": 3, "probes": [], "versions": [1], "encoder": {"job": 4}}]


@pytest.mark.parametrize("details", DETAILS)
def test_records_that_lack_what_one_wants_to_know_say_so(results: Results, details: object) -> None:
    """A seal says nothing about the kind of what is sealed, so nothing is assumed of it."""
    for name in ("index.json", "encoder.json", "pretrain.json", "equivariance.json"):
        resealed(results.path(name), stripped)
    resealed(metrics_of(results), lambda content: content.update(details=details))
    found = trace(metrics_of(results))
    lines = list(trace_lines(found))
    assert "\n".join(lines).count(UNKNOWN) > 20
    assert all(line.isprintable() for line in lines)
    json.dumps(trace_values(found), allow_nan=False)


def stripped(content: dict[str, Any]) -> None:
    """Leave what makes a record, and values of a wrong kind in place of some of its own."""
    wrong = {
        "splits": {"train": 3},
        "tars": [1],
        "versions": "x",
        "rows": "\x1b[31m",
        "warnings": {"a": None},
    }
    kept = {key: content[key] for key in ("files", "made_of", "job") if key in content}
    content.clear()
    content.update(wrong, **kept)


@pytest.mark.parametrize("number", ["knn_stored", "equivariance_error", "parameters", "reg_acc_stored_100"])
def test_any_number_of_the_grid_is_traced(results: Results, number: str) -> None:
    found = trace(metrics_of(results), number)
    assert found.number.value == json.loads(metrics_of(results).read_text())[number]
    assert ("strength" in found.links[1].facts) == (number == "reg_acc_stored_100")
    assert (found.number.low is None) == (number in ("equivariance_error", "parameters"))


@pytest.mark.parametrize("number", ["acc_stored_10", "acc", "acc_stored_100_lo", "details", "seed", ""])
def test_a_number_that_does_not_exist_is_refused_with_those_that_do(
    results: Results, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(results, capsys, metrics_of(results), number)
    assert (code, out) == (1, "")
    assert f"number: given {number!r}, allowed: acc_stored_100, agreement_angle, " in err
    assert "_lo" not in err.partition("allowed")[2]


def test_the_copies_that_people_read_lead_to_the_same_chain(results: Results) -> None:
    plain = trace(metrics_of(results))
    of_cell = trace(results.root / "metrics/cell.json")
    of_grid = trace(results.root / "metrics/grid.csv", None, CELL)
    for found in (of_cell, of_grid):
        assert (found.number, found.links[1:], found.faults) == (plain.number, plain.links[1:], [])
    other = trace(results.root / "metrics/grid.csv", None, "pictures/C2/mine/s0")
    assert other.cell["group"] == "C2"


def test_results_of_other_settings_beside_the_cell_are_not_taken_for_it(results: Results) -> None:
    home = results.path("encoder.json").parent
    earlier = home.with_name("s0-00000000")
    shutil.copytree(results.files("C4", 1)["encoder.json"].parent, earlier)
    (old,) = earlier.glob("eval-*/probe-*/metrics.json")
    resealed(old, lambda content: content.update(seed=0, epochs=7))
    for file, cell in (("cell.json", None), ("grid.csv", CELL)):
        assert trace(results.root / "metrics" / file, None, cell).home == home


@pytest.mark.parametrize(("file", "cell"), [("cell.json", None), ("grid.csv", CELL)])
def test_an_edited_copy_is_a_broken_link(results: Results, file: str, cell: str | None) -> None:
    copy = results.root / "metrics" / file
    before, mine, after = copy.read_text().partition("pictures,C4,mine,0" if cell else '"acc_stored_100"')
    copy.write_text(f"{before}{mine}{after.replace('0.', '0.0', 1)}")
    found = trace(copy, None, cell)
    assert links_with_faults(found) == {"number"}
    assert [fault.path for fault in found.faults] == [copy]


def test_a_copy_of_damaged_metrics_is_not_compared(results: Results) -> None:
    edited(results, "metrics.json", metrics_of(results))
    found = trace(results.root / "metrics/cell.json")
    assert links_with_faults(found) == {"probe"}
    assert found.links[0].holds is None


@pytest.mark.parametrize("cell", [None, "pictures/C4/mine/s7", "pictures C4 mine 0", "../C4/mine/s0"])
def test_a_row_that_is_not_there_is_refused_with_those_that_are(results: Results, cell: str | None) -> None:
    with pytest.raises(ValueError, match=rf"^--cell: given .*, allowed: .*{CELL}"):
        trace(results.root / "metrics/grid.csv", None, cell)


def test_a_cell_is_no_option_for_one_cell(results: Results) -> None:
    for path in (metrics_of(results), results.root / "metrics/cell.json"):
        with pytest.raises(ValueError, match="--cell: given 'pictures/C4/mine/s0' with "):
            trace(path, None, CELL)


def test_a_table_without_results_says_how_to_get_them(results: Results) -> None:
    shutil.rmtree(results.root / "results")
    for file, cell in (("cell.json", None), ("grid.csv", CELL)):
        with pytest.raises(ValueError, match=r"pictures/C4/mine/s0: there is no .*`eqssl run`.*`dvc pull`"):
            trace(results.root / "metrics" / file, None, cell)


FOREIGN = {
    "metrics.json": '{"accuracy": 0.5}',
    "other.json": '{"dataset": "x"}',
    "list.json": "[1]",
    "broken.json": "{",
    "notes.txt": "hello",
    "table.csv": "a,b\n1,2\n",
    "twice.csv": "dataset,dataset\n1,2\n",
    "empty.csv": "",
    "binary.csv": "\x00\x01",
}


@pytest.mark.parametrize("name", [*FOREIGN, "absent.json", "absent/metrics.json", "."])
def test_a_foreign_file_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in FOREIGN:
        (tmp_path / name).write_text(FOREIGN[name])
    assert cli.main(["trace", str(tmp_path / name)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"eqssl: error: {tmp_path / name}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["encoder.json", "pretrain.json", "equivariance.json", "index.json"])
def test_another_record_of_the_cell_is_refused(results: Results, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: is none of the files that hold a cell's numbers"):
        trace(results.path(name))


def test_a_row_cannot_lead_out_of_the_results(results: Results) -> None:
    table = results.root / "metrics/grid.csv"
    table.write_text("dataset,group,pretext,seed\n..,..,*,0\n")
    with pytest.raises(ValueError, match=r"\.\./\.\./\*/s0: there is no "):
        trace(table, None, "../../*/s0")


def test_metrics_away_from_their_cell_have_no_chain(results: Results, tmp_path: Path) -> None:
    away = shutil.copyfile(metrics_of(results), tmp_path / "metrics.json")
    found = trace(away)
    assert found.number.value is not None
    assert links_with_faults(found) == {"probe", "features", "training", "encoder", "shards"}


def test_the_command_says_the_same_to_people_and_programs(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    flipped(results, "train.parquet", results.path("train.parquet"))
    code, text, _ = command(results, capsys, metrics_of(results))
    assert code == 1
    reason = f"{results.path('train.parquet')}: SHA-256 is "
    assert reason in " ".join(text.split())
    code, text, _ = command(results, capsys, metrics_of(results), "knn_stored", "--json")
    assert code == 1
    values = json.loads(text)
    assert values["holds"] is False
    assert values["number"]["name"] == "knn_stored"
    assert [link["name"] for link in values["links"]] == STEPS
    (fault,) = [fault for link in values["links"] for fault in link["faults"]]
    assert fault["path"] == str(results.path("train.parquet"))
    code, text, _ = command(
        results, capsys, results.root / "metrics/grid.csv", "--cell", "pictures/C4/mine/s1"
    )
    assert (code, text.splitlines()[-1]) == (0, "every link holds")


def test_the_same_results_give_the_same_bytes(results: Results) -> None:
    first, second = ("\n".join(trace_lines(trace(metrics_of(results)))) for _ in range(2))
    assert first == second
