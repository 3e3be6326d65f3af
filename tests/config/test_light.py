"""Settings are read without torch, escnn or anything else that takes long to import."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "escnn", "numpy", "scipy", "pyarrow", "PIL", "sklearn", "matplotlib")


def imported_by(program: str) -> set[str]:
    """The heavy libraries that a program has imported at its end."""
    code = f"import sys\n{program}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(answer.stdout.split())


def test_a_heavy_import_would_be_seen():
    assert "numpy" in imported_by("import numpy")


def test_reading_params_and_naming_every_folder_is_light():
    program = """
import yaml
from eqssl.config import jobs
from eqssl.config.params import Params
params = Params.load("params.yaml")
assert Params.check(yaml.safe_load(open("params.yaml"))) == params
assert all(jobs.probe_folder(params, cell) for cell in params.cells())
assert jobs.pretrain_job(params, params.cell).task.modules()
"""
    assert imported_by(program) == set()


def test_every_module_of_config_is_light():
    names = [f"eqssl.config.{file.stem}" for file in (ROOT / "eqssl/config").glob("[a-z]*.py")]
    assert len(names) > 10
    assert imported_by(f"import {', '.join(names)}") == set()


def test_what_the_rules_import_is_light():
    rules = (ROOT / "workflow/rules/common.smk").read_text().splitlines()
    imports = [line for line in rules if line.startswith(("from eqssl", "import eqssl"))]
    assert len(imports) > 4
    assert imported_by("\n".join(imports)) & {"torch", "escnn"} == set()
