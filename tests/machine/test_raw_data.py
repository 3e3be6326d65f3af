"""The version of a data set's files follows names and content, and DVC's pointer is compared with them."""

import os
import shutil
import subprocess
import sys

import pytest

from eqssl.config.sources import SourceSettings
from eqssl.machine import raw_data
from eqssl.machine.raw_data import raw_version, version_of


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "project/data/raw/cells"
    (folder / "round").mkdir(parents=True)
    (folder / "round/a.png").write_bytes(b"one")
    (folder / "b.png").write_bytes(b"two")
    return folder


def test_the_version_is_of_names_and_content_and_not_of_times(images):
    before = raw_version(images)
    os.utime(images / "b.png", (0, 0))
    copied = images.with_name("copy")
    shutil.copytree(images, copied)
    (copied / ".DS_Store").write_bytes(b"x")
    (copied / ".ipynb_checkpoints").mkdir()
    (copied / ".ipynb_checkpoints/c.png").write_bytes(b"x")
    assert raw_version(images) == raw_version(copied) == before


def other_content(folder):
    (folder / "b.png").write_bytes(b"owt")


def same_size_and_time(folder):
    times = (folder / "b.png").stat()
    (folder / "b.png").write_bytes(b"owt")
    os.utime(folder / "b.png", ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        other_content,
        same_size_and_time,
        lambda folder: (folder / "round/a.png").rename(folder / "round/c.png"),
        lambda folder: (folder / "round/a.png").unlink(),
        lambda folder: (folder / "round/d.png").write_bytes(b""),
        lambda folder: (folder / "round").rename(folder / "square"),
    ],
)
def test_any_change_of_a_file_is_another_version(images, change):
    before = raw_version(images)
    change(images)
    assert raw_version(images) != before


def test_a_file_has_a_version_and_what_is_missing_has_none(images):
    assert raw_version(images / "b.png") != raw_version(images / "round/a.png")
    assert raw_version(images / "none") is None


def test_a_pipe_among_the_files_is_named_and_not_waited_for(images):
    os.mkfifo(images / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png: is not a plain file"):
        raw_version(images)


def dvc(*command):
    subprocess.run([sys.executable, "-m", "dvc", *command], check=True, capture_output=True)


@pytest.fixture
def added(images):
    """The images under DVC."""
    subprocess.run(["git", "init", "-q"], check=True)
    dvc("init", "-q")
    dvc("add", "-q", "data/raw/cells")
    return images


def test_files_that_differ_from_the_pointer_are_refused_with_both_ways_out(added, monkeypatch):
    path = "data/raw/cells"
    before = raw_version(path)
    other_content(added)
    with pytest.raises(ValueError, match=r"^data/raw/cells: differs from data/raw/cells\.dvc: `dvc add "):
        raw_version(path)
    dvc("checkout", "-q", "--force", "data/raw/cells.dvc")
    assert raw_version(path) == before
    # DVC takes seconds to start, and is not asked again
    monkeypatch.setattr(raw_data.subprocess, "run", lambda *_, **__: pytest.fail("DVC was asked again"))
    assert raw_version(path) == before


def entry(path):
    return SourceSettings.read({"source": "parquet", "path": str(path)})


def test_files_that_are_gone_are_an_error_that_says_how_to_get_them(images, tmp_path):
    shutil.rmtree(images)
    with pytest.raises(ValueError, match=r"datasets\.own: .*cells is not there.* do not travel to clones"):
        version_of("own", entry(images), tmp_path / "shards")
    images.with_name("cells.dvc").write_text("outs: []\n")
    with pytest.raises(ValueError, match=r"cells is not there: `dvc pull .*cells\.dvc` fetches it"):
        version_of("own", entry(images), tmp_path / "shards")


def test_commands_can_be_pasted_and_a_slash_at_the_end_means_nothing():
    source = SourceSettings.read({"source": "folder", "path": "data/my cells/"})
    with pytest.raises(ValueError, match="`dvc add 'data/my cells/'` where they are"):
        version_of("own", source, "shards")
    pointer = raw_data.pointer_of("data/my cells/")
    assert str(pointer) == "data/my cells.dvc"
    pointer.parent.mkdir()
    pointer.write_text("outs: []")
    with pytest.raises(ValueError, match=r"`dvc pull 'data/my cells\.dvc'` fetches it"):
        version_of("own", source, "shards")


def test_a_source_without_files_has_no_version(tmp_path):
    source = SourceSettings.read({"source": "fashion_mnist_sample"})
    assert version_of("fashion", source, tmp_path) == ""
