import os
import select
import signal
import subprocess
import sys

import pytest

from eqssl.machine import slots

CORES = """
import sys, time
from eqssl.machine.slots import cpu_slots
with cpu_slots(int(sys.argv[1])) as held:
    print("in", len(held), time.monotonic(), flush=True)
    sys.stdin.readline()
    print("out", time.monotonic(), flush=True)
"""
GPU = """
import os, sys
from eqssl.machine.slots import device_slot
with device_slot(sys.argv[1]) as gpu:
    print(gpu, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.readline()
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
"""
FOUR_CORES = "import eqssl.machine.slots as s; s.usable_cores = lambda: [0, 1, 2, 3]\n"


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(slots.tempfile, "tempdir", None)
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES", "EQSSL_GPUS", "EQSSL_JOBS_PER_GPU"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / f"eqssl-slots-{os.getuid()}"


def is_waiting(process):
    """Whether the process is alive and prints nothing for a while."""
    return select.select([process.stdout], [], [], 0.8)[0] == [] and process.poll() is None


def test_no_more_threads_than_cores_run_and_every_process_gets_its_turn(start):
    counts = [1, 3, 1, 4, 2, 1, 9, 1, 2, 3, 1, 1, 4, 2]
    program = FOUR_CORES + CORES.replace("sys.stdin.readline()", "time.sleep(0.15)")
    processes = [start(program, count) for count in counts]
    events = []
    for process, count in zip(processes, counts, strict=True):
        output, errors = process.communicate(timeout=50)
        assert process.returncode == 0, errors
        entered, left = (line.split() for line in output.splitlines())
        assert int(entered[1]) == min(count, 4)
        events += [(float(entered[2]), min(count, 4)), (float(left[1]), -min(count, 4))]
    running = most = 0
    for _, change in sorted(events):
        running += change
        most = max(most, running)
    assert running == 0
    assert 2 <= most <= 4


def test_second_process_waits_until_the_first_is_killed(start):
    first = start(FOUR_CORES + CORES, 3)
    assert first.stdout.readline().startswith("in 3")
    fits = start(FOUR_CORES + CORES, 1)
    assert fits.stdout.readline().startswith("in 1")
    second = start(FOUR_CORES + CORES, 2)
    assert is_waiting(second)
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline().startswith("in 2")


def test_large_request_is_not_overtaken_for_ever(start):
    holder = start(FOUR_CORES + CORES, 1)
    assert holder.stdout.readline().startswith("in 1")
    large = start(FOUR_CORES + CORES, 4)
    assert is_waiting(large)
    small = start(FOUR_CORES + CORES, 1)
    assert is_waiting(small)  # it came later
    holder.communicate("\n")
    assert large.stdout.readline().startswith("in 4")
    large.communicate("\n")
    assert small.stdout.readline().startswith("in 1")


def test_a_process_killed_while_waiting_leaves_the_gate_open(start):
    holder = start(FOUR_CORES + CORES, 3)
    assert holder.stdout.readline().startswith("in 3")
    waiting = start(FOUR_CORES + CORES, 4)
    assert is_waiting(waiting)
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()
    small = start(FOUR_CORES + CORES, 1)
    assert small.stdout.readline().startswith("in 1")


def test_locks_are_free_again_in_the_same_process():
    everything = len(slots.usable_cores())
    for _ in range(2):
        with slots.cpu_slots(10_000) as held:
            assert len(held) == everything
    with pytest.raises(ValueError, match="given 0, allowed: 1 or more"), slots.cpu_slots(0):
        pass


def test_each_process_gets_its_own_gpu(start, monkeypatch):
    monkeypatch.setenv("EQSSL_GPUS", "2")
    first, second = start(GPU, "auto"), start(GPU, "cuda")
    lines = {first.stdout.readline(), second.stdout.readline()}
    assert lines == {"0 0\n", "1 1\n"}
    third = start(GPU, "auto")
    assert is_waiting(third)
    assert first.communicate("\n")[0] == "None\n"
    assert third.stdout.readline() in lines


def test_visible_gpus_are_the_ones_shared(start, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-ab/1")
    first, second = start(GPU, "auto"), start(GPU, "cuda:1")
    lines = {first.stdout.readline(), second.stdout.readline()}
    assert lines <= {"3 3\n", "GPU-ab/1 GPU-ab/1\n", "GPU-ab/1 3,GPU-ab/1\n"}
    assert len({line.split()[0] for line in lines}) == 2
    assert first.communicate("\n")[0] == "3,GPU-ab/1\n"


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:7"])
def test_other_devices_take_no_gpu(device, monkeypatch, locks):
    monkeypatch.setenv("EQSSL_GPUS", "1")
    with slots.device_slot(device) as gpu:
        assert gpu is None
    assert not locks.exists()


@pytest.mark.parametrize("device", ["auto", "cuda:0"])
def test_under_slurm_no_gpu_is_taken(device, monkeypatch, locks):
    monkeypatch.setenv("EQSSL_GPUS", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with slots.device_slot(device) as gpu:
        assert gpu is None
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert not locks.exists()


def test_gpus_are_counted_from_the_environment_or_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slots.visible_gpus() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\n[ "$1" = -L ] && echo "GPU 0: A (UUID: x)" && echo "GPU 1: A (UUID: y)"\n')
    tool.chmod(0o755)
    assert slots.visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 6,7")
    assert slots.visible_gpus() == ["5", "6", "7"]
    monkeypatch.setenv("EQSSL_GPUS", "2")
    assert slots.visible_gpus() == ["5", "6"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert slots.visible_gpus() == []
    monkeypatch.setenv("EQSSL_GPUS", "many")
    with pytest.raises(ValueError, match="EQSSL_GPUS: given 'many'"):
        slots.visible_gpus()


def test_folder_of_another_user_is_refused(monkeypatch, locks, tmp_path):
    locks.symlink_to(tmp_path)
    with pytest.raises(OSError, match="is no folder, so it cannot hold locks"), slots.cpu_slots(1):
        pass


def test_slots_do_not_import_torch():
    program = "import sys, eqssl.machine.slots, eqssl.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
