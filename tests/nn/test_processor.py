import platform
from pathlib import Path

import pytest
import torch

from eqssl.nn.processor import convolves_bfloat16, multiplies_bfloat16, runs_onednn


@pytest.mark.filterwarnings("ignore")
def test_onednn_can_be_turned_off():
    with torch.backends.mkldnn.flags(enabled=False):
        assert not runs_onednn()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors were not measured")
def test_onednn_is_used_on_x86():
    assert runs_onednn() == torch.backends.mkldnn.is_available()


def test_instructions_are_those_that_the_processor_names():
    information = Path("/proc/cpuinfo")
    if not information.exists():
        pytest.skip("no list of instructions")
    flags = set(information.read_text(encoding="utf-8").split())
    assert multiplies_bfloat16() == ("avx512_bf16" in flags and "amx_tile" not in flags)
    # oneDNN convolves it with these, and where it can do so in float32
    assert convolves_bfloat16() or not multiplies_bfloat16()
