"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eqssl.config.params import Params

ROOT = Path(__file__).parent.parent
pytest_plugins = ["training_fixtures"]

# every test process gets one thread: pytest runs one process per core
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def params() -> Params:
    """The settings that the repository ships."""
    return Params.load(ROOT / "params.yaml")


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh generator with a fixed seed."""
    return torch.Generator().manual_seed(0)
