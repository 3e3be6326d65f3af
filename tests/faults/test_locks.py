"""Folders of locks that others may write to, and what they could put there: named, and never blocking."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from eqssl.machine import slots
from eqssl.machine.scratch import claimed


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(slots.tempfile, "tempdir", None)
    folder = tmp_path / f"eqssl-slots-{os.getuid()}"
    folder.mkdir(mode=0o700)
    return folder


def link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "stolen")


def socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


PLANTED: list[Callable[[Path], None]] = [os.mkfifo, link, Path.mkdir, socket]


@pytest.mark.parametrize("name", ["core-gate", "core-{}"])
@pytest.mark.parametrize("plant", PLANTED)
def test_a_core_that_is_no_regular_file_is_named(
    plant: Callable[[Path], None], name: str, locks: Path
) -> None:
    path = locks / name.format(slots.usable_cores()[0])
    plant(path)
    with pytest.raises(OSError, match=rf"^{path}: is no regular file"), slots.cpu_slots(1):
        pass
    assert not (locks.parent / "stolen").exists()


@pytest.mark.parametrize("plant", PLANTED)
def test_a_lock_of_a_training_that_is_no_regular_file_is_named(
    plant: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "training"
    folder.mkdir()
    plant(folder / "lock")
    with pytest.raises(OSError, match=rf"^{folder}/lock: is no regular file"), claimed(folder):
        pass
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_of_cores_that_others_may_write_to_is_refused(mode: int, locks: Path) -> None:
    locks.chmod(mode)
    with (
        pytest.raises(OSError, match=rf"^{locks}: other users may write to it.*chmod 700"),
        slots.cpu_slots(1),
    ):
        pass
    locks.chmod(0o755)
    with slots.cpu_slots(1) as held:
        assert len(held) == 1


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_folder_of_cores_that_is_no_folder_is_refused(kind: str, locks: Path) -> None:
    locks.rmdir()
    if kind == "pipe":
        os.mkfifo(locks)
    else:
        locks.touch()
    with pytest.raises(OSError, match=rf"^{locks}: is no folder"), slots.cpu_slots(1):
        pass


@pytest.mark.parametrize("which", ["scratch", "training"])
def test_a_scratch_folder_that_everybody_may_write_to_is_refused(which: str, tmp_path: Path) -> None:
    training = tmp_path / "scratch" / "training"
    training.mkdir(parents=True)
    open_one = training if which == "training" else training.parent
    open_one.chmod(0o777)
    with (
        pytest.raises(OSError, match=rf"^{open_one}: every user may write to it.*EQSSL_SCRATCH"),
        claimed(training),
    ):
        pass


@pytest.mark.parametrize("mode", [0o1777, 0o2775, 0o700])
def test_a_scratch_folder_of_a_group_or_with_the_sticky_bit_is_used(mode: int, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    scratch.chmod(mode)
    with claimed(scratch / "training") as claim:
        assert claim.folder.is_dir()
