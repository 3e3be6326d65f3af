import os

import pytest
import torch

from eqssl.training.device import choose_device, reproducible
from eqssl.training.precision import autocast, choose_precision

CPU = torch.device("cpu")


def test_auto_takes_cuda_where_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:x", ""])
def test_devices_that_do_not_exist_are_refused(name):
    with pytest.raises(ValueError, match=r"machine\.device: given .* allowed here: auto, cpu"):
        choose_device(name)


def test_settings_of_the_process_come_back():
    before = torch.get_num_threads()

    def fail():
        with reproducible(CPU, before + 1):
            assert torch.get_num_threads() == before + 1
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


def test_auto_is_single_precision_on_a_cpu():
    assert choose_precision("auto", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(ValueError, match="allowed: auto, float32, bfloat16"):
        choose_precision("float16", CPU)


def test_autocast_changes_matrix_products_only_when_asked():
    x = torch.ones(2, 2)
    with autocast(CPU, torch.float32):
        assert (x @ x).dtype == torch.float32
    with autocast(CPU, torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_auto_is_bfloat16_on_cuda_devices_made_for_it():
    made_for_it = torch.cuda.get_device_capability()[0] >= 8
    expected = torch.bfloat16 if made_for_it else torch.float32
    assert choose_precision("auto", torch.device("cuda")) == expected
