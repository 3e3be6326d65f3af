"""Freed memory stays with the process: page faults are counted in separate processes."""

import platform
import subprocess
import sys

import pytest

from eqssl.machine import memory

# each block is above what the C library ever makes a part of its heap by itself
PROGRAM = """
import resource, sys
import numpy as np
from eqssl.machine.memory import keep_freed_memory

told = keep_freed_memory() if sys.argv[1] == "keep" else None
faults = []
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**26, dtype=np.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(told, max(faults[2:]))
"""


def run(choice: str) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, choice], capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    return told, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again():
    told, kept = run("keep")
    assert told == "True"
    _, returned = run("return")
    # the negative control: without it every block is new, page by page (or by huge pages of 2 MiB)
    assert returned >= 2**26 // 2**21
    assert kept < returned / 4


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    assert memory.keep_freed_memory() is False
