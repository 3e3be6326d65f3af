"""What a user of the wheel has: a project that runs, with the installed package alone and no checkout."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml
from project_copy import Project, copied

from eqssl.config.params import merged
from eqssl.machine.projects.creating import create

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, small_images: Path) -> Path:
    """An environment with the wheel, and with every other package of this one, but not this checkout."""
    place = tmp_path_factory.mktemp("wheel")
    tree = copied(place / "tree", small_images)
    shutil.copyfile(ROOT / "params.yaml", tree.folder / "params.yaml")
    tree.run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), ".")
    venv.create(place / "env", with_pip=False)
    python = place / "env/bin/python"
    install = ["-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    wheels = [str(file) for file in (place / "dist").glob("*.whl")]
    Project(place, {"PYTHONPATH": ""}).run(sys.executable, *install, *wheels)
    purelib = sysconfig.get_paths(vars={"base": str(place / "env")})["purelib"]
    # Python reads no path files in a folder that a path file names: that of an editable install has no effect
    (Path(purelib) / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for name in ("snakemake", "dvc"):
        program = place / "env/bin" / name
        program.write_text(f'#!/bin/sh\nexec "{python}" -m {name} "$@"\n')
        program.chmod(0o755)
    return place / "env"


@pytest.fixture
def made(tmp_path: Path, environment: Path) -> Project:
    """What `eqssl new` of the wheel makes; its commands are those of the wheel."""
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    start = Project(tmp_path, {"PATH": path, "PYTHONPATH": ""})
    text = start.run("eqssl", "new", "project")
    assert text.endswith("Next: cd project; eqssl init PATH-OF-IMAGES; eqssl run\n")
    return Project(tmp_path / "project", start.environment)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_wheel_makes_the_project_that_the_checkout_makes(made: Project, tmp_path: Path) -> None:
    create(tmp_path / "ours")
    assert _contents(made.folder) == _contents(tmp_path / "ours")


def test_a_project_of_the_wheel_runs_from_images_to_features(made: Project, small_images: Path) -> None:
    shutil.copytree(small_images, made.folder / "data/raw/small")
    where = made.run("python", "-c", "import eqssl; print(eqssl.__file__)").strip()
    assert Path(where).is_relative_to(Path(made.environment["PATH"].split(os.pathsep)[0]).parent)
    made.run("python", "-c", "import eqssl; eqssl.load_encoder('eqssl:D4')")
    assert "params.yaml: written" in made.run("eqssl", "init", "data/raw/small")
    params = yaml.safe_load((made.folder / "params.yaml").read_text())
    small = yaml.safe_load((ROOT / "tests/workflow/small.yaml").read_text())
    (made.folder / "params.yaml").write_text(yaml.safe_dump(merged(params, small), sort_keys=False))

    made.run("eqssl", "run", "--cores", "2", "--", "cell")
    assert "Nothing to be done" in made.run("snakemake", "-n", "cell")
    made.run("eqssl", "verify")
    made.run("eqssl", "embed", "data/raw/small", "--encoder", "model", "--out", "F.parquet")
    assert (made.folder / "F.parquet").stat().st_size > 0

    made.run("git", "init", "-q", "-b", "main")
    made.commit("start")
    made.run("dvc", "exp", "run", "-n", "untrained", "-S", "pretext=random")
    text = made.run("dvc", "metrics", "diff", "main", "untrained")
    assert "acc_stored_100" in text
