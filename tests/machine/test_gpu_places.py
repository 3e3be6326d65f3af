"""Several jobs on one GPU, in real processes; the GPUs are names alone, since a lock needs no device."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from eqssl.machine import gpu_places, slots

HOLD = """
import os, sys
os.environ["EQSSL_JOBS_PER_GPU"] = sys.argv[2]
from eqssl.machine.slots import device_slot
with device_slot(sys.argv[1]) as gpu:
    print(gpu, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.readline()
"""
TURN = """
import os, sys, time
from eqssl.machine.slots import device_slot
with device_slot("auto") as gpu:
    print("in", gpu, time.monotonic(), flush=True)
    time.sleep(0.2)
    print("out", gpu, time.monotonic(), flush=True)
"""
Start = Callable[..., "Popen[str]"]


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(slots.tempfile, "tempdir", None)
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EQSSL_GPUS", "1")
    monkeypatch.delenv(gpu_places.VARIABLE, raising=False)
    return tmp_path / f"eqssl-slots-{os.getuid()}"


def line(process: Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def is_waiting(process: Popen[str]) -> bool:
    """Whether the process is alive and prints nothing for a while."""
    return select.select([process.stdout], [], [], 0.8)[0] == [] and process.poll() is None


def most_at_once(start: Start, processes: int) -> dict[str, int]:
    """GPU -> how many of the processes held it at the same time at most."""
    running = [start(TURN) for _ in range(processes)]
    events = []
    for process in running:
        output, errors = process.communicate(timeout=55)
        assert process.returncode == 0, errors
        for text in output.splitlines():
            kind, gpu, when = text.split()
            events.append((float(when), 1 if kind == "in" else -1, gpu))
    held: dict[str, int] = {}
    most: dict[str, int] = {}
    for _, change, gpu in sorted(events):
        held[gpu] = held.get(gpu, 0) + change
        most[gpu] = max(most.get(gpu, 0), held[gpu])
    assert len(events) == 2 * processes
    assert set(held.values()) == {0}
    return most


@pytest.mark.parametrize("limit", [1, 3])
def test_as_many_jobs_as_the_setting_says_hold_one_gpu(
    start: Start, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setenv(gpu_places.VARIABLE, str(limit))
    assert most_at_once(start, 9) == {"0": limit}


def test_jobs_go_to_the_gpu_with_the_fewest(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQSSL_GPUS", "2")
    holders = []
    for expected in ({"0", "1"}, {"0", "1"}):
        seen = set()
        for _ in range(2):
            holders.append(start(HOLD, "auto", 2))
            gpu, visible = line(holders[-1]).split()
            assert gpu == visible
            seen.add(gpu)
        assert seen == expected
    fifth = start(HOLD, "auto", 2)
    assert is_waiting(fifth)
    holders[0].communicate("\n")
    assert line(fifth) == "0 0\n"


def test_a_job_that_wants_a_gpu_for_itself_waits_for_all_and_keeps_others_out(start: Start) -> None:
    shared = [start(HOLD, "auto", 3), start(HOLD, "cuda:0", 3)]
    assert {line(process) for process in shared} == {"0 0\n", "0 None\n"}
    alone = start(HOLD, "auto", 1)
    assert is_waiting(alone)
    shared[0].communicate("\n")
    assert is_waiting(alone)
    shared[1].communicate("\n")
    assert line(alone) == "0 0\n"
    late = start(HOLD, "auto", 3)
    assert is_waiting(late)
    alone.send_signal(signal.SIGKILL)
    assert line(late) == "0 0\n"


def test_the_strictest_of_the_jobs_on_a_gpu_decides(start: Start) -> None:
    first, second = start(HOLD, "auto", 4), start(HOLD, "auto", 2)
    assert line(first) == line(second) == "0 0\n"
    third = start(HOLD, "auto", 4)
    assert is_waiting(third)
    second.communicate("\n")
    assert line(third) == "0 0\n"
    fourth = start(HOLD, "auto", 4)
    assert line(fourth) == "0 0\n"


def test_a_place_is_free_after_its_job_was_killed(start: Start) -> None:
    holders = [start(HOLD, "auto", 2) for _ in range(2)]
    assert [line(process) for process in holders] == ["0 0\n"] * 2
    third = start(HOLD, "auto", 2)
    assert is_waiting(third)
    holders[0].send_signal(signal.SIGKILL)
    assert line(third) == "0 0\n"


def test_a_lock_of_an_earlier_version_counts_as_a_job_alone(start: Start, locks: Path) -> None:
    locks.mkdir(mode=0o700)
    program = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_EX); print('held', "
    earlier = start(program + "flush=True); sys.stdin.readline()", locks / "gpu-0")
    assert line(earlier) == "held\n"
    job = start(HOLD, "auto", 4)
    assert is_waiting(job)
    earlier.communicate("\n")
    assert line(job) == "0 0\n"


def test_places_stay_free_in_one_process(monkeypatch: pytest.MonkeyPatch, locks: Path) -> None:
    monkeypatch.setenv(gpu_places.VARIABLE, "64")
    started = time.monotonic()
    for _ in range(200):
        with slots.gpu_slot() as gpu:
            assert gpu == "0"
    assert time.monotonic() - started < 10
    assert [path.name for path in sorted(locks.iterdir())] == ["gpu-0", "gpu-gate"]


@pytest.mark.parametrize("given", ["0", "65", "-1", "1.5", "many", "", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_a_number_of_jobs_out_of_range_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu_places.VARIABLE, given)
    with pytest.raises(ValueError, match=r"^EQSSL_JOBS_PER_GPU: given '.*', allowed: 1 to 64$"):
        slots.gpu_slot().__enter__()


@pytest.mark.parametrize("text", [b"", b"x", b"\xff", b"-3", b"0"])
def test_a_damaged_place_of_a_live_job_counts_as_a_job_alone(start: Start, locks: Path, text: bytes) -> None:
    holder = start(HOLD, "auto", 2)
    assert line(holder) == "0 0\n"
    (locks / "gpu-0").write_bytes(text)
    job = start(HOLD, "auto", 2)
    assert is_waiting(job)
    holder.communicate("\n")
    assert line(job) == "0 0\n"
