"""Images of one's own: out of git, known by content, compared with DVC's pointer, and in experiments."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from project_copy import Project, copied

RAW = "data/raw/small"
NOTHING = "Nothing to be done"


def repository(folder: Path, images: Path) -> Project:
    """A repository with images at data/raw/small and one quick cell."""
    project = copied(folder, images)
    shutil.copytree(images, project.folder / RAW)
    project.change(
        datasets={"small": {"path": RAW}},
        grid={"group": ["C4"], "pretext": ["random"]},
        pretext="random",
        pretrain={"epochs": 1},
    )
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "config", "core.analytics", "false")
    project.commit("first")
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_images: Path) -> Project:
    project = repository(tmp_path_factory.mktemp("finished") / "project", small_images)
    project.run("snakemake", "--cores", "2", "cell")
    return project


@pytest.fixture
def own(finished: Project, tmp_path: Path) -> Project:
    """A copy of the repository whose cell is finished."""
    return finished.duplicate(tmp_path / "project")


def index(project: Project) -> str:
    return str(next(project.folder.glob("data/shards/small-*/index.json")).relative_to(project.folder))


def change_an_image(project: Project, keep_time: bool = False) -> None:
    """Change the images without changing the size of their file."""
    path = project.folder / RAW / "train.parquet"
    times, content = path.stat(), path.read_bytes()
    assert content.count(b"label") > 1
    path.write_bytes(content.replace(b"label", b"lebel"))
    if keep_time:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_images_stay_out_of_git_and_their_pointers_do_not(own: Project) -> None:
    assert RAW not in own.run("git", "ls-files")
    own.run("dvc", "add", "-q", RAW)
    own.run("git", "add", "-A")
    staged = own.run("git", "diff", "--cached", "--name-only").split()
    assert f"{RAW}.dvc" in staged
    assert not [name for name in staged if name.startswith(f"{RAW}/")]


def test_a_run_follows_the_content_of_the_images(own: Project) -> None:
    os.utime(own.folder / RAW / "train.parquet")
    assert NOTHING in own.run("snakemake", "--cores", "2", "cell")
    change_an_image(own, keep_time=True)
    assert "rule shard" in own.run("snakemake", "-n", "cell")


def test_a_pointer_reruns_nothing_and_images_that_differ_from_it_stop_the_run(own: Project) -> None:
    own.run("dvc", "add", "-q", RAW)
    assert NOTHING in own.run("snakemake", "--cores", "2", "cell")
    change_an_image(own)
    text = own.run("snakemake", "--cores", "2", "cell", code=1)
    assert f"{RAW}: differs from {RAW}.dvc: `dvc add {RAW}`" in text
    assert "Traceback" not in text
    own.run("dvc", "checkout", "-q", "--force", f"{RAW}.dvc")
    assert NOTHING in own.run("snakemake", "--cores", "2", "cell")


def test_shards_do_without_the_images_and_a_clone_says_what_is_missing(own: Project) -> None:
    shutil.rmtree(own.folder / RAW)
    assert NOTHING in own.run("snakemake", "--cores", "2", "cell")
    shutil.rmtree(own.folder / "data/shards")
    text = own.run("snakemake", "--cores", "2", "cell", code=1)
    assert f"datasets.small: {RAW} is not there. Files that neither git nor DVC tracks do not travel" in text


@pytest.mark.slow
def test_experiments_of_a_new_clone_can_be_applied_one_after_the_other(
    tmp_path: Path, small_images: Path
) -> None:
    own = repository(tmp_path / "project", small_images)
    own.run("dvc", "add", "-q", RAW)
    own.commit("images")
    for seed in ("1", "2"):
        own.run("dvc", "exp", "run", "-n", f"seed{seed}", "-S", f"seed={seed}")
    for seed in ("1", "2", "1"):
        own.run("dvc", "exp", "apply", f"seed{seed}")
        assert f'"seed": {seed}' in (own.folder / "metrics/cell.json").read_text()
    assert index(own)


@pytest.mark.slow
def test_a_source_that_comes_with_a_package_has_no_files_to_compare(own: Project) -> None:
    pytest.importorskip("skimage")
    own.change(dataset="textures", grid={"dataset": ["textures"]})
    own.run("snakemake", "--cores", "2", "cell")
    assert NOTHING in own.run("snakemake", "--cores", "2", "cell")
