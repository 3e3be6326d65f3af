"""Fixtures shared by all tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from eqssl.config.params import Params

ROOT = Path(__file__).parent.parent
pytest_plugins = ["training_fixtures"]
LONG_FILES = {"workflow", "test_tutorials.py"}

# every test process gets one thread: pytest runs one process per core
torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, the files that take minutes come first.

    The last file to begin is then a short one, and no process waits for another at the end.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not LONG_FILES.intersection(item.path.relative_to(ROOT).parts))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many damages and hostile inputs each test has tried."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        path, _, name = report.nodeid.partition("::")
        if "tests/faults/" in path or "test_damaged_results" in path:
            counts[name.partition("[")[0].removeprefix("test_").replace("_", " ")] += 1
    if counts:
        terminalreporter.section(f"{sum(counts.values())} damages and hostile inputs, each as it must end")
        for name, count in sorted(counts.items()):
            terminalreporter.line(f"{count:5d}  {name}")


@pytest.fixture(scope="session")
def params() -> Params:
    """The settings that the repository ships."""
    return Params.load(ROOT / "params.yaml")


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh generator with a fixed seed."""
    return torch.Generator().manual_seed(0)
