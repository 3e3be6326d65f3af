from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eqssl import cli
from eqssl.config import jobs
from eqssl.config.params import Params

ROOT = Path(__file__).resolve().parents[1]


def eqssl(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eqssl", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, check=False, timeout=120
    )


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, eqssl.cli; eqssl.cli.parser().format_help(); "
        "print([m for m in ('torch', 'numpy', 'pydantic', 'yaml', 'rich') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert loaded.stdout.strip() == "[]"
    text = cli.parser().format_help()
    people = ("run", "init", "check", "verify", "trace", "table", "schema", "guard", "adopt", "export")
    people += ("claims", "compare", "embed", "release", "probe-features")
    steps = (
        "shard",
        "pretrain",
        "features",
        "transfer",
        "probe",
        "publish",
        "summary",
        "report",
        "data-page",
    )
    steps += ("finetune", "transfer-table")
    for command in (*people, *steps):
        assert re.search(rf"\n    {command}\s", text)


def test_help_loads_no_library_that_takes_time() -> None:
    program = (
        "import sys; from eqssl import cli\ntry:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
    )
    program += "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(answer.stderr.split())
    assert "eqssl" in loaded
    assert loaded.isdisjoint(
        {"torch", "escnn", "numpy", "scipy", "sklearn", "pydantic", "yaml", "rich", "pyarrow"}
    )


def test_check_prints_the_folder_of_every_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where nothing is sharded, of which more would be said
    assert cli.main(["check", "--params", str(ROOT / "params.yaml")]) == 0
    params = Params.load(ROOT / "params.yaml")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(params.cells())) + 1
    assert lines[-1] == f"active: {jobs.cell_folder(params, params.cell)}"


def test_check_prints_the_cells_of_a_file_that_replaces_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    overlay = ROOT / "experiments/relative_turn.yaml"
    told = ["check", "--quick", "--params", str(ROOT / "params.yaml"), "--configfile", str(overlay)]
    assert cli.main(told) == 0
    params = Params.load(ROOT / "params.yaml", overlay)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == [
        jobs.cell_folder(params, cell) for cell in params.cells()
    ]
    (tmp_path / "wrong.yaml").write_text("group: C5\n")
    assert cli.main([*told, "--configfile", str(tmp_path / "wrong.yaml")]) == 1
    assert "wrong.yaml: group: given 'C5'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"group": "C5"}, ["group", "'C5'", "'D4'"]),
        ({"pretrain": {"epoch": 3}}, ["pretrain.epoch", "epochs"]),
        ({"probe": {"draws": "five"}}, ["probe.draws", "'five'", "integer"]),
        ({"pretext": "eq_label"}, ["pretext", "'eq_label'", "eq_labels"]),
        ({"pretexts": {"labels": {"task": "relative_location", "haed": "plain"}}}, ["pretexts.labels.haed"]),
    ],
)
def test_a_bad_setting_is_one_clear_error(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    result = eqssl("check", "--params", str(path))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"eqssl: error: {path}: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_schema_in_the_repository_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    expected = (ROOT / "workflow/schemas/params.schema.json").read_text()
    assert capsys.readouterr().out == expected, "run `make schema`"


def test_schema_takes_params_and_refuses_a_typo() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text())
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    values["pretrain"]["epoch"] = 3
    with pytest.raises(jsonschema.ValidationError, match="epoch"):
        jsonschema.validate(values, schema)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["probe", "--job", "{", "--evaluation", "e", "--encoder", "e", "--out", "o"], ["--job", "not JSON"]),
        (
            ["probe", "--job", "{}", "--evaluation", "e", "--encoder", "e", "--out", "o"],
            ["--job.probe", "missing"],
        ),
        (["table", "--table", "nowhere.csv"], ["nowhere.csv", "eqssl run"]),
        (["run"], ["Snakefile"]),
    ],
)
def test_bad_input_ends_with_one_message_and_code_1(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    result = eqssl(*arguments, folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    for word in ["eqssl: error: ", *words]:
        assert word in result.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", [["schema"], ["claims", "bench/results/claims.csv"], ["check"]])
def test_a_command_whose_reader_left_ends_without_a_word(command: list[str]) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)}
    whole = [sys.executable, "-m", "eqssl", *command]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            whole, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment, timeout=120
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["check", "--parms", "x"])
    assert stop.value.code == 2
    assert "--parms" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("twins", "reason"),
    [("{", "--twins: not JSON"), ('["a"]', "allowed: a JSON table of names"), ('{"a": 1}', "--twins: given")],
)
def test_twins_of_a_report_that_are_no_table_of_names_are_refused(
    twins: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "report",
        "--out",
        str(tmp_path / "r.html"),
        "--cell",
        "metrics.json",
        "loss.csv",
        "--twins",
        twins,
    ]
    assert cli.main(words) == 1
    assert reason in capsys.readouterr().err
