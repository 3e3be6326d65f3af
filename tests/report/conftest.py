from pathlib import Path

import pytest
from written_grid import write_grid


@pytest.fixture
def grid(tmp_path: Path) -> list[tuple[Path, Path]]:
    return write_grid(tmp_path / "results")
