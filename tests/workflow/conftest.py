"""Images and finished grids that the tests of this folder share."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from project_copy import Project, copied
from small_data import write


@pytest.fixture(scope="session")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "small"
    write(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, small_images: Path) -> Project:
    """A copy of the working tree with a grid in params.yaml that takes seconds."""
    return copied(tmp_path / "project", small_images)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, small_images: Path) -> tuple[Project, str]:
    """A project in git whose grid of three cells is built, and what Snakemake said.

    One process of the tests builds it; the others wait for it.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    project, said = Project(place / "built" / "project"), place / "built.txt"
    with (place / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(place / "built", ignore_errors=True)  # of a build that failed
            said.write_text(build(project.folder, small_images))
    return project, said.read_text()


def build(folder: Path, images: Path) -> str:
    project = copied(folder, images)
    project.change(grid={"group": ["C4"], "pretext": ["contrastive", "eq_labels_inv_contrastive", "random"]})
    project.run("git", "init", "-q", "-b", "main")
    project.commit("start")
    return project.run("snakemake", "--cores", "8", "all")


@pytest.fixture
def built(first_run: tuple[Project, str]) -> Project:
    """The finished grid, to read. Tests that change something work on a copy."""
    return first_run[0]


@pytest.fixture
def copy(built: Project, tmp_path: Path) -> Project:
    return built.duplicate(tmp_path / "project")
