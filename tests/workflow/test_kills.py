"""A run that is killed in any step, any number of times, ends with the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from project_copy import Project, copied

STEPS = ("shard", "pretrain", "features", "finetune", "probe", "summary", "publish", "report")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_images: Path) -> Project:
    project = prepared(tmp_path_factory.mktemp("undisturbed") / "project", small_images)
    project.eqssl("run", "--cores", "2")
    return project


def prepared(folder: Path, images: Path) -> Project:
    project = copied(folder, images)
    project.change(
        grid={"group": ["C4"], "pretext": ["contrastive"]},
        pretrain={"epochs": 8},
        finetune={"shares": [10, 100], "draws": 2, "epochs": 2, "least_steps": 10},
        machine={"checkpoint_seconds": 0.05},
    )
    return project


def kill_in(project: Project, step: str, delay: float) -> bool:
    """Start a run and kill it some time after a step has begun; False if it ended before."""
    shutil.rmtree(project.folder / "logs", ignore_errors=True)
    process = project.start(sys.executable, "-m", "eqssl", "run", "--cores", "2")
    while process.poll() is None:
        logs = project.folder / "logs"
        if (logs / f"{step}.log").exists() or list(logs.glob(f"{step}/*.log")):
            time.sleep(delay)
            break
        time.sleep(0.02)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


@pytest.mark.parametrize("seed", range(3))
def test_runs_that_are_killed_end_with_the_bytes_of_an_undisturbed_one(
    seed: int, undisturbed: Project, tmp_path: Path, small_images: Path
) -> None:
    project = prepared(tmp_path / "project", small_images)
    delays = random.Random(seed)  # noqa: S311
    kills = [kill_in(project, step, delays.uniform(0, 3)) for step in STEPS]
    project.eqssl("run", "--cores", "2")
    assert project.contents() == undisturbed.contents()
    assert "every file is what its record says" in project.eqssl("verify")
    assert sum(kills) >= 4
