"""`eqssl claims` and `eqssl compare` on what is published, and on DVC's experiments."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from eqssl.cli import main

ROOT = Path(__file__).parents[1]


def test_claims_of_a_published_table_are_printed(capsys):
    code = main(["claims", str(ROOT / "bench/results/bases.csv"), "--params", str(ROOT / "params.yaml")])
    text = capsys.readouterr().out
    assert code == 0
    assert max(map(len, text.splitlines())) <= 100
    row = next(line for line in text.splitlines() if line.startswith("contrast_twin "))
    assert row.split()[1:3] == ["yes", "+0.68"]
    assert "over seeds alone" in text


def test_two_entries_of_a_table_are_compared(capsys):
    table = str(ROOT / "bench/results/bases.csv")
    settings = ["--grid", table, "--params", str(ROOT / "params.yaml")]
    assert main(["compare", "C4/inv_byol", "C4/byol", *settings]) == 0
    row = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("acc_stored_100"))
    assert row.split()[1:4] == ["68.14", "66.30", "+1.85"]


@pytest.mark.parametrize("command", [["claims", "nowhere.csv"], ["compare", "here", "there"]])
def test_what_is_not_there_is_named(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    assert main([*command, "--params", str(ROOT / "params.yaml")]) == 1
    text = capsys.readouterr().err
    assert "nowhere.csv: there is no such file" in text or "experiment 'here': " in text


def test_with_one_seed_claims_say_that_intervals_are_over_test_images_alone(capsys, tmp_path):
    lines = (ROOT / "bench/results/relative_turn.csv").read_text().splitlines()
    seed = lines[0].split(",").index("seed")
    rows = [line for line in lines[1:] if line.split(",")[seed] == "0"]
    (tmp_path / "one_seed.csv").write_text("\n".join([lines[0], *rows, ""]))
    shutil.copy(ROOT / "bench/results/relative_turn.parquet", tmp_path / "one_seed.parquet")
    assert main(["claims", str(tmp_path / "one_seed.csv"), "--params", str(ROOT / "params.yaml")]) == 0
    text = capsys.readouterr().out
    assert "Intervals are over test images alone" in text
    assert "over seeds" not in text
