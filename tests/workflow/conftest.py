from __future__ import annotations

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
