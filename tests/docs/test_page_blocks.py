"""Every code block of README and the site that is to be run is run, page by page, as a reader would."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import chdir, redirect_stdout
from functools import cache
from pathlib import Path

import pytest
import torch
from page_blocks import ROOT, pages, read

import eqssl
from eqssl.cli import main

FOUND = {name: read(path) for name, path in pages().items()}
ELSEWHERE = {
    "docs/library.md": "tests/test_library_page.py",
    "docs/embedding.md": "tests/evaluation/embed/test_embedding.py",
}
"""Pages whose blocks a test of its own runs, which knows more of what must come out."""


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder with what the pages expect beside them: settings, published numbers and a trained encoder."""
    for name in ("params.yaml", "experiments", "bench", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    encoder = eqssl.pretexts.build("inv_contrastive", eqssl.Params.load(ROOT / "params.yaml")).encoder.eval()
    eqssl.encoders.save_encoder(encoder, tmp_path / "model", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


@pytest.mark.parametrize(
    "name", [name for name, page in FOUND.items() if page.python and name not in ELSEWHERE]
)
def test_the_python_of_a_page_runs_from_top_to_bottom(name: str, checkout: Path):
    known = {"__name__": "docs", "images": torch.randn(4, 1, 28, 28)}
    for block in FOUND[name].python:
        exec(compile(block, name, "exec"), known)  # noqa: S102 - the docs' own code


COMMANDS = {command: name for name, page in FOUND.items() for command in page.commands}


@cache
def answer(command: str) -> tuple[int, str]:
    """Exit code and output of a command of eqssl, given in the root of the repository."""
    first, *words = shlex.split(command, comments=True)
    assert first == "eqssl"
    with chdir(ROOT), redirect_stdout(io.StringIO()) as printed:
        code = main(words)
    return code, printed.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_that_is_marked_runs(command: str):
    code, printed = answer(command)
    assert code == 0, COMMANDS[command]
    assert printed


def unprinted(text: str, printed: str) -> set[str]:
    """The numbers with two decimals of a text that are not in what commands have printed."""
    number = re.compile(r"[+-]?\d+\.\d\d(?!\d)")
    return {found for found in number.findall(text.replace("\u2212", "-")) if found not in printed.split()}


def test_each_number_that_helps_to_choose_is_printed_by_a_command_of_its_page():
    text = (ROOT / "docs/choosing.md").read_text(encoding="utf-8")
    text = re.sub(r"costs \d\.\d\d to \d\.\d\d of a plain network", "", text)  # of docs/speed.md
    printed = " ".join(answer(command)[1] for command in FOUND["docs/choosing.md"].commands)
    assert len(re.findall(r"\d\.\d\d", text)) > 50
    assert not unprinted(text, printed)
    assert unprinted(text.replace("+10.30", "+10.31"), printed) == {"+10.31"}


def test_a_page_whose_blocks_another_test_runs_is_read_by_it():
    for name, test in ELSEWHERE.items():
        assert FOUND[name].python
        assert Path(name).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "python", "commands"),
    [
        ("```python\na = 1\n```\n", ["a = 1\n"], []),
        ("<!-- not run: needs a GPU -->\n```python\na = 1\n```\n\n```python\nb\n```\n", ["b\n"], []),
        ("<!-- run -->\n\n    eqssl check   # why\n\n    snakemake\n\nand\n\n    eqssl no\n",
         [], ["eqssl check   # why", "snakemake"]),
        ("```yaml\na: 1\n```\n\n    eqssl run\n", [], []),
    ],
)  # fmt: skip
def test_blocks_are_found_by_their_marks(text, python, commands, tmp_path):
    (tmp_path / "page.md").write_text(text)
    assert read(tmp_path / "page.md") == (python, commands)


@pytest.mark.parametrize("mark", ["<!-- run -->", "<!-- not run: a reason -->", "<!-- not run -->"])
def test_a_mark_that_stands_before_no_block_is_an_error(mark, tmp_path):
    (tmp_path / "page.md").write_text(f"{mark}\n\nSome text.\n\n```python\na = 1\n```\n")
    with pytest.raises(ValueError, match="marks for blocks"):
        read(tmp_path / "page.md")
