"""A run ends with the right bytes, whatever happened to the files of an earlier run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from project_copy import Project, copied

NOTHING = "Nothing to be done"
Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """Change one bit and set the times back, as a failing disk does."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory, small_images: Path) -> Project:
    project = copied(tmp_path_factory.mktemp("built") / "project", small_images)
    project.change(grid={"group": ["C4"], "pretext": ["contrastive", "random"]})
    project.change(finetune={"shares": [10, 100], "draws": 1, "epochs": 1, "least_steps": 2})
    project.eqssl("run", "--cores", "4")
    return project


def one(project: Project, pattern: str) -> Path:
    return sorted(project.folder.glob(pattern))[0]


CELL = "results/small/C4/contrastive/s0-*"
DAMAGES: list[tuple[str, Damage]] = [
    (f"{CELL}/encoder.safetensors", flip),
    (f"{CELL}/eval-*/features/val.parquet", half),
    ("results/small/C4/random/s0-*/encoder.safetensors", deleted),
    ("results/small/C4/random/s0-*/eval-*/equivariance.json", empty),
    ("data/shards/small-*/train-00001.tar", flip),
    (f"{CELL}/fine-*/correct.parquet", flip),
    ("metrics/grid.json", half),
    ("report/index.html", flip),
    ("report/data/small.html", flip),
]


@pytest.mark.slow
def test_a_run_after_damage_ends_with_the_same_bytes(fine_tuned: Project, tmp_path: Path) -> None:
    copy, paths = fine_tuned.duplicate(tmp_path / "project"), []
    for pattern, damage in DAMAGES:
        paths.append(one(copy, pattern))
        damage(paths[-1])
    listed = copy.eqssl("verify", code=1)
    assert f"{len(DAMAGES)} files are missing or damaged" in listed
    text = copy.eqssl("run", "--cores", "4")
    for path in paths:
        name = str(path.relative_to(copy.folder))
        assert any(name in line and "it is made again" in line for line in text.splitlines()), text
    assert copy.contents() == fine_tuned.contents()
    assert NOTHING in copy.eqssl("run", "--cores", "4")
    assert "every file is what its record says" in copy.eqssl("verify")


def test_a_dry_run_names_damage_and_removes_nothing(copy: Project) -> None:
    path = one(copy, f"{CELL}/encoder.safetensors")
    flip(path)
    text = copy.run("snakemake", "-n", "all")
    assert f"{path.relative_to(copy.folder)}: SHA-256 is" in text
    assert path.is_file()


def test_the_active_cell_alone_asks_for_no_other_cell(copy: Project) -> None:
    other = one(copy, "results/small/C4/random/s0-*/encoder.safetensors")
    other.unlink()
    assert NOTHING in copy.eqssl("run", "--cores", "4", "cell")
    encoder = one(copy, f"{CELL}/encoder.safetensors")
    content = encoder.read_bytes()
    flip(encoder)
    assert "it is made again" in copy.eqssl("run", "--cores", "4", "cell")
    assert encoder.read_bytes() == content
    assert not other.exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, half, empty, deleted])
@pytest.mark.parametrize(
    "pattern",
    [
        f"{CELL}/encoder.safetensors",
        f"{CELL}/encoder.json",
        f"{CELL}/pretrain.json",
        f"{CELL}/loss.csv",
        f"{CELL}/log.jsonl",
        f"{CELL}/eval-*/features/train.parquet",
        f"{CELL}/eval-*/features/test.parquet",
        f"{CELL}/eval-*/equivariance.json",
        f"{CELL}/eval-*/probe-*/metrics.json",
        f"{CELL}/eval-*/probe-*/predictions.csv",
        f"{CELL}/eval-*/probe-*/correct.parquet",
        f"{CELL}/fine-*/finetune.json",
        f"{CELL}/fine-*/correct.parquet",
        "data/shards/small-*/index.json",
        "data/shards/small-*/test-00000.tar",
        "model/encoder.safetensors",
        "model/encoder.json",
        "metrics/predictions.csv",
        "metrics/loss.csv",
    ],
)
def test_a_run_mends_any_file(fine_tuned: Project, tmp_path: Path, pattern: str, damage: Damage) -> None:
    copy = fine_tuned.duplicate(tmp_path / "project")
    damage(one(copy, pattern))
    copy.eqssl("run", "--cores", "4")
    assert copy.contents() == fine_tuned.contents()
