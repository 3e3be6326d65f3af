"""A project has settings, rules and pointers, and appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eqssl.cli import main
from eqssl.config.params import Params
from eqssl.machine.projects import creating
from eqssl.machine.projects.files import SHARED, shared

ROOT = Path(__file__).resolve().parents[3]


def test_a_project_has_settings_that_hold_and_a_snakefile_that_includes_the_rules(tmp_path: Path) -> None:
    names = creating.create(tmp_path / "project")
    files = [file for file in (tmp_path / "project").rglob("*") if file.is_file()]
    made = {str(file.relative_to(tmp_path / "project")) for file in files}
    assert set(names) == made
    assert {"params.yaml", "Snakefile", "dvc.yaml", ".gitignore", "README.md", ".dvc/config"} <= made
    assert Params.load(tmp_path / "project/params.yaml") == Params.load(ROOT / "params.yaml")
    assert 'include: shared("Snakefile")' in (tmp_path / "project/Snakefile").read_text()
    assert not any(name.startswith("workflow") for name in made)


def test_the_stage_of_a_project_is_that_of_the_checkout_but_for_its_dependencies(tmp_path: Path) -> None:
    creating.create(tmp_path / "project")
    ours = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    made = yaml.safe_load((tmp_path / "project/dvc.yaml").read_text())
    assert ours["stages"]["cell"].pop("deps") == ["Snakefile", "eqssl", "workflow"]
    assert made["stages"]["cell"].pop("always_changed") is True
    assert made == ours


def test_pointers_are_those_of_a_checkout_without_results(tmp_path: Path) -> None:
    creating.create(tmp_path / "project")
    for name in ("data/shards.dvc", "provenance.dvc", "report.dvc", "results.dvc"):
        made, ours = (yaml.safe_load((root / name).read_text()) for root in (tmp_path / "project", ROOT))
        assert [out["path"] for out in made["outs"]] == [out["path"] for out in ours["outs"]]
        assert made.get("wdir") == ours.get("wdir")
        assert "md5" not in made["outs"][0]


def test_a_folder_that_holds_something_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"full: holds files, allowed: a new or an empty folder"):
        creating.create(tmp_path / "full")
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match=r"mine.txt: is a file or a link"):
        creating.create(tmp_path / "full/mine.txt")
    (tmp_path / "empty").mkdir()
    assert creating.create(tmp_path / "empty")


def test_nothing_is_left_where_a_file_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creating, "_COPIED", (*creating._COPIED, "no-such-file"))
    with pytest.raises(OSError, match="no-such-file: neither in"):
        creating.create(tmp_path / "project")
    assert not list(tmp_path.iterdir())


def test_every_shared_file_is_there() -> None:
    assert all(shared(name) == ROOT / name for name in SHARED)


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my project"]) == 0
    assert "Next: cd 'my project'; eqssl init" in capsys.readouterr().out
