from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eqssl.machine import provenance


def test_record_is_plain_and_names_what_matters() -> None:
    record = provenance.record()
    assert record == json.loads(json.dumps(record))
    for key in ("eqssl", "python", "torch", "escnn", "numpy", "scikit-learn", "pyarrow"):
        assert key in record
    assert record["torch"]
    assert record["processor"]
    assert record["cores"] >= 1
    assert len(record["code"]) == 12


ONE = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: A: Processor\n"
TWO = ONE + "\nprocessor\t: 1\ncpu family\t: 6\nmodel\t\t: 7\nmodel name\t: B\n"


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        (TWO, "A: Processor (family 6, model 143)"),
        ("model name\t: Another\n", "Another"),
        ("processor\t: 0\nCPU architecture: 8\n", None),
        ("", None),
    ],
)
def test_a_processor_is_named_with_its_family_and_model(information: str, expected: str | None) -> None:
    assert provenance._first_processor(information) == expected


def asked(root: Path) -> tuple[str | None, bool | None]:
    """Commit and cleanness that a copy of the package records."""
    code = (
        "import json; from eqssl.machine import provenance as p; print(json.dumps([p._commit(), p._clean()]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, check=True, text=True, env={"PATH": PATH}
    )
    commit, clean = json.loads(answer.stdout)
    return commit, clean


PATH = "/usr/local/bin:/usr/bin:/bin"


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def test_a_tree_is_clean_while_the_code_is_that_of_the_commit(tmp_path: Path) -> None:
    for name in ("config", "machine"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(provenance.PACKAGE / name, tmp_path / "eqssl" / name, ignore=ignored)
    shutil.copy(provenance.PACKAGE / "__init__.py", tmp_path / "eqssl")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    assert asked(tmp_path) == (None, None)  # no repository
    git(tmp_path, "init", "-q")
    assert asked(tmp_path) == (None, None)  # no commit
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "start")
    commit, clean = asked(tmp_path)
    assert clean is True
    assert commit is not None
    (tmp_path / "params.yaml").write_text("seed: 1\n")  # settings and results are no code
    assert asked(tmp_path) == (commit, True)
    (tmp_path / "eqssl/new.py").write_text("")
    assert asked(tmp_path) == (commit, False)
    (tmp_path / "eqssl/new.py").unlink()
    with (tmp_path / "eqssl/__init__.py").open("a") as file:
        file.write("x = 1\n")
    assert asked(tmp_path) == (commit, False)


def test_gpus_are_named_as_their_driver_does(tmp_path: Path) -> None:
    assert provenance.gpus(tmp_path / "none") == []
    for number, name in enumerate(("NVIDIA H100", "NVIDIA H200")):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 24\nGPU UUID: \t GPU-1\n")
    assert provenance.gpus(tmp_path) == ["NVIDIA H100", "NVIDIA H200"]
    assert isinstance(provenance.record()["gpus"], list)
