"""The notebooks run in an empty folder, and are committed with what they print and draw."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from page_blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs/tutorials").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
STELLARIUM = Path("/usr/share/stellarium/nebulae/default")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tutorials", ROOT / "tools/run_tutorials.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells and commands use the eqssl that is tested."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_there_are_the_four_of_the_site() -> None:
    assert NAMES == ["nuclei", "own_loop", "sky", "textures"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs(path: Path, tool: ModuleType, tmp_path: Path) -> None:
    if path.stem == "sky" and not STELLARIUM.exists():
        pytest.skip("needs Debian's package stellarium-data")
    made = tool.executed(path, tmp_path)
    committed = nbformat.read(path, as_version=4)
    assert [bool(cell.get("outputs")) for cell in made.cells] == [
        bool(cell.get("outputs")) for cell in committed.cells
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_committed_with_outputs_that_name_no_place(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook)
    assert not [place for place in ("/tmp/", "/home/", "/root/", str(ROOT)) if place in text]  # noqa: S108
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert sum(bool(cell.get("outputs")) for cell in notebook.cells) > len(counts) / 2


@pytest.mark.parametrize("code", ["raise ValueError('no')", "!eqssl table --table nowhere.csv"])
def test_a_notebook_that_fails_ends_the_run(code: str, tool: ModuleType, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    with pytest.raises(Exception, match=r"no|nowhere\.csv"):
        tool.executed(tmp_path / "broken.ipynb", tmp_path)
