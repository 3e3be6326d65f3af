"""eqssl probe-features as a person gives it, with the example of the documentation."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest
from feature_cells import probe_job

from eqssl import cli

ROOT = Path(__file__).parents[2]


def section() -> str:
    text = (ROOT / "docs/evaluation.md").read_text()
    return text.split("## Features of other software")[1].split("\n## ")[0]


def example() -> list[str]:
    """The indented blocks of the section."""
    found = re.findall(r"((?:(?:    .*)?\n)+)", section())
    return [textwrap.dedent(block) for block in found if block.strip()]


def test_the_example_of_the_documentation_runs_and_gives_its_number(tmp_path, monkeypatch, capsys):
    blocks = example()
    (program,) = [block for block in blocks if "import pyarrow" in block]
    (command,) = [block.strip() for block in blocks if "--features digits.parquet" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "example", "exec"), {})  # noqa: S102
    assert cli.main([*command.split()[1:], "--params", str(ROOT / "params.yaml")]) == 0
    printed = capsys.readouterr().out
    (told,) = re.findall(r"prints `acc_stored_100: (.*?) %", section())
    said = "validation images: 0.1 of the training images, by the hashes of their keys"
    assert printed.startswith(said)
    metrics = json.loads((tmp_path / "probed/metrics.json").read_text())
    # another processor may decide an image or two otherwise
    assert 100 * metrics["acc_stored_100"] == pytest.approx(float(told), abs=0.6)
    assert f"acc_stored_100: {100 * metrics['acc_stored_100']:.2f} %" in printed
    assert metrics["details"]["labels"]["val"]["images"] == pytest.approx(144, abs=5)


def test_settings_can_be_given_as_a_job(tmp_path, monkeypatch, capsys):
    blocks = example()
    (program,) = [block for block in blocks if "import pyarrow" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "example", "exec"), {})  # noqa: S102
    job = probe_job(shares=(100,), classifiers=("logistic", "ridge")).json_text()
    assert cli.main(["probe-features", "--features", "digits.parquet", "--out", "p", "--job", job]) == 0
    assert "ridge_acc_stored_100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "a.parquet"], "--test: missing; or give one file with a column `split` by --features"),
        (["--features", "a", "--val", "b"], "--features: given with --val, allowed: one or the other"),
        (["--features", "none.parquet", "--params", "none.yaml"], "none.yaml"),
        (["--features", "none.parquet"], "none.parquet"),
    ],
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(ROOT)
    assert cli.main(["probe-features", *arguments, "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
