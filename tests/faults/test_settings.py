"""Hostile settings: each is refused at once, with a message that names the key and the reason."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile_settings import DOCUMENTS, JOBS, SETTINGS, TWINS, VALUES, changed

from eqssl import cli
from eqssl.config.params import Params
from eqssl.config.yaml_files import parse_yaml

SECONDS = 30.0  # of processor time: far more than a refusal takes, far less than what was asked for
MANY = 20  # mistakes that are told, one a line
ROOT = Path(__file__).parents[2]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that ends with code 1, which must come quickly and be short."""
    started = time.process_time()
    assert cli.main(arguments) == 1
    assert time.process_time() - started < SECONDS
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("eqssl: error: ")
    assert output.err.count("\n") <= MANY + 1
    assert len(output.err) < 8000
    return output.err


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_text_that_is_no_settings_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, words = DOCUMENTS[name]
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    said = refusal(capsys, "check", "--params", str(path))
    for word in [f"{path}: ", *words]:
        assert word in said


@pytest.mark.parametrize(
    ("key", "value", "words"), SETTINGS, ids=[f"{s[0]}-{i}" for i, s in enumerate(SETTINGS)]
)
def test_a_value_out_of_bounds_is_refused(
    key: str, value: object, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(changed(key, value))
    said = refusal(capsys, "check", "--params", str(path))
    for word in [f"{path}: ", *words]:
        assert word in said


@pytest.mark.parametrize("name", JOBS)
def test_an_invalid_job_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = JOBS[name]
    places = ["--evaluation", "e", "--encoder", "e", "--out", str(tmp_path / "out")]
    said = refusal(capsys, "probe", "--job", text, *places)
    for word in ["--job", *words]:
        assert word in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", TWINS)
def test_twins_that_are_no_table_of_names_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--twins" in refusal(capsys, "table", "--table", "nowhere.csv", "--twins", TWINS[name])


@pytest.mark.parametrize("cores", ["0", "-3", "1000000000000"])
def test_a_number_of_cores_that_no_machine_has_is_refused(
    cores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"--cores: given {cores}, allowed: " in refusal(capsys, "run", "--cores", cores)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0"])
def test_a_time_between_checkpoints_that_never_comes_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", "--job", "{}", "--out", "o", "--shards", "s", f"--checkpoint-seconds={seconds}"]
    assert "--checkpoint-seconds: given " in refusal(capsys, *words)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "endless device"])
def test_settings_that_are_no_regular_file_are_refused(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "params.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    assert f"{path}: is a " in refusal(capsys, "check", "--params", str(path))


def test_consent_makes_a_large_grid_valid() -> None:
    values = {**VALUES, "grid": {**VALUES["grid"], "seed": list(range(2000))}}
    with pytest.raises(
        ValueError, match=r"^grid: given lists for 36000 cells, allowed: at most 20000; raise"
    ):
        Params.check(values)
    values["machine"] = {**VALUES["machine"], "most_cells": 36_000}
    assert Params.check(values).machine.most_cells == 36_000


def test_cells_are_counted_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Params, "cells", lambda self: pytest.fail("cells were made"))
    Params.check(VALUES)


def test_aliases_and_merge_keys_within_bounds_are_read() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n"
    table = {"x": 1, "y": [1, 2]}
    assert parse_yaml(text) == {"a": table, "b": {"x": 2, "y": [1, 2]}, "c": [table, table]}


@pytest.mark.parametrize("name", ["aliases for 10^9 nodes", "a template of Snakemake"])
def test_snakemake_does_not_read_settings_out_of_bounds(name: str, tmp_path: Path) -> None:
    """Its own reader would expand the aliases, and run the code of a template, before any rule is read."""
    for part in ("Snakefile", "workflow", "profiles", "eqssl"):
        (tmp_path / part).symlink_to(ROOT / part)
    marker = tmp_path / "executed"
    text, words = DOCUMENTS[name]
    code = f"x: ?__import__('pathlib').Path({str(marker)!r}).touch()\n" if "template" in name else ""
    (tmp_path / "params.yaml").write_text(f"{text}{code}")
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--snakefile", "Snakefile"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    said = result.stdout + result.stderr
    for word in ["params.yaml: ", *words]:
        assert word in said
    assert "Traceback" not in said
    assert not marker.exists()
