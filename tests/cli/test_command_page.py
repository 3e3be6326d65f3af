"""docs/commands.md says what the parser and the code say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eqssl import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/commands.md").read_text()
OF_PYTHON = {"TMPDIR"}  # read by tempfile


def column(heading: str) -> set[str]:
    """The first column of the table below a heading, without backticks."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)[2:]
    return {name.strip("` ") for cell in cells for name in cell.split(",")}


def test_lists_of_commands_are_those_of_the_parser() -> None:
    tool = [sys.executable, "tools/list_commands.py", "--print"]
    made = subprocess.run(tool, capture_output=True, text=True, check=True, cwd=ROOT)
    assert made.stdout == PAGE, "run `python tools/list_commands.py`"
    for name in cli.parser().commands:
        assert f"\n| `{name}` | " in PAGE


def variables(tree: ast.AST) -> set[str]:
    """Names of the environment variables that code reads, and those of eqssl that it names."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="environ")), args=[ast.Constant(str(name)), *_]
            ):
                found.add(name)
            case ast.Subscript(
                value=ast.Attribute(attr="environ"), slice=ast.Constant(str(name)), ctx=ast.Load()
            ):
                found.add(name)
            case ast.Compare(left=ast.Constant(str(name)), comparators=[ast.Attribute(attr="environ")]):
                found.add(name)
            case ast.Constant(str(name)) if re.fullmatch(r"EQSSL_[A-Z_]+", name):
                found.add(name)
    return found


def test_every_environment_variable_that_the_code_reads_is_listed() -> None:
    found = set()
    for file in (ROOT / "eqssl").rglob("*.py"):
        found |= variables(ast.parse(file.read_text()))
    assert {"EQSSL_SCRATCH", "EQSSL_PARENT", "CXX", "SLURM_JOB_ID"} <= found
    assert column("Environment variables") == found | OF_PYTHON


def test_exit_codes_are_those_that_the_tests_of_processes_find() -> None:
    text = (ROOT / "tests/cli/test_exit_codes.py").read_text()
    assert column("Exit codes") == {"0", "1", "2", "130", "143"}
    assert all(re.search(rf"\b{code}\b", text) for code in column("Exit codes"))


def test_the_error_on_the_page_is_what_a_wrong_group_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**values, "group": "C5"}))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check"]) == 1
    assert f"\n    {capsys.readouterr().err}" in PAGE
