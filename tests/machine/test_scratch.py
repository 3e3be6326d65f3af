import shutil
import signal
import time

import pytest

from eqssl.machine import scratch
from eqssl.machine.scratch import claimed, fingerprint

HOLD = """
import sys
from pathlib import Path
from eqssl.machine.scratch import claimed
with claimed(Path(sys.argv[1])) as claim:
    found = sorted(file.name for file in claim.folder.iterdir() if file.suffix == ".txt")
    (claim.folder / "left.txt").write_text("x")
    print("in", found, flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "drop":
        claim.drop()
"""


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_fingerprint_depends_on_every_value_but_not_on_their_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"a": 1, "b": 3})
    assert len(fingerprint({})) == 16


def test_dropped_folder_is_removed_and_kept_one_stays(tmp_path):
    folder = tmp_path / "scratch" / "f"
    with claimed(folder) as claim:
        (folder / "left.txt").write_text("x")
        assert not claim.is_awaited()
    assert (folder / "left.txt").exists()
    with claimed(folder) as claim:
        claim.drop()
    assert not folder.exists()


def test_folder_stays_after_an_error(tmp_path):
    folder = tmp_path / "f"
    with pytest.raises(ValueError, match="inside"), claimed(folder):
        raise ValueError("inside")
    assert folder.exists()


def test_leftovers_of_writes_that_were_cut_off_are_removed(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / ".state.safetensors.ab12.tmp").write_text("half")
    (folder / "state.safetensors").write_text("whole")
    with claimed(folder):
        assert sorted(file.name for file in folder.iterdir()) == ["lock", "state.safetensors"]


def test_second_process_waits_then_finds_what_the_first_left(tmp_path, start):
    folder = tmp_path / "f"
    first = start(HOLD, folder, "drop")
    assert first.stdout.readline() == "in []\n"
    second = start(HOLD, folder, "drop")
    assert "another process trains the same cell" in second.stderr.readline()
    assert second.poll() is None
    time.sleep(0.2)
    first.communicate("\n")  # it drops the folder, but is awaited
    assert second.stdout.readline() == "in ['left.txt']\n"
    second.communicate("\n")
    assert not folder.exists()


def test_lock_of_a_killed_process_is_free(tmp_path, start):
    folder = tmp_path / "f"
    first = start(HOLD, folder, "keep")
    assert first.stdout.readline() == "in []\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    with claimed(folder):
        assert (folder / "left.txt").exists()


def test_folder_that_was_removed_before_the_lock_was_taken_is_made_again(tmp_path, monkeypatch):
    folder = tmp_path / "f"
    inner = scratch._try_lock
    removed = []

    def slow(file, kind):
        if not removed:  # what happens when the process before ends just now
            removed.append(shutil.rmtree(folder))
        return inner(file, kind)

    monkeypatch.setattr(scratch, "_try_lock", slow)
    with claimed(folder) as claim:
        assert (folder / "lock").exists()
        assert not claim.is_awaited()


def test_waiting_process_can_be_told_to_stop(tmp_path, start):
    folder = tmp_path / "f"
    with claimed(folder) as claim:
        waiting = start(HOLD, folder, "keep")
        waiting.stderr.readline()
        wait_for(claim.is_awaited)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(10) == -signal.SIGTERM
        wait_for(lambda: not claim.is_awaited())
