import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from eqssl.nn import onednn
from eqssl.nn.onednn import SWITCH, is_on, may_compute, problem_of


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that has the operations."""
    monkeypatch.setattr(onednn, "is_on", lambda: True)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_operations_of_onednn_run_on_x86(capability: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert is_on(capability) == torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("capability", ["DEFAULT", "NEON", "SVE256", "VSX", "Z VECTOR"])
def test_operations_of_onednn_run_on_no_other_processor(capability: str):
    assert not is_on(capability)


def test_the_switch_turns_operations_of_onednn_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(SWITCH, "0")
    assert not is_on("AVX512")


@pytest.mark.filterwarnings("ignore")
def test_operations_of_onednn_are_off_where_onednn_is():
    with torch.backends.mkldnn.flags(enabled=False):
        assert not is_on("AVX512")


@torch.no_grad()
def test_operations_of_onednn_compute_with_numbers_of_float32_on_a_cpu(on: None):
    x, weight = torch.zeros(2, 3), nn.Parameter(torch.zeros(2, 3))
    assert may_compute(x, weight)
    assert not may_compute(x.double(), weight)
    assert not may_compute(x, weight.bfloat16())
    assert not may_compute(x.to("meta"))
    with FakeTensorMode() as mode:
        assert not may_compute(mode.from_tensor(x))


def test_operations_of_onednn_are_kept_from_gradients_and_autocast(on: None):
    x = torch.zeros(2, 3)
    assert not may_compute(x)
    with torch.no_grad():
        assert may_compute(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert not may_compute(x)


@torch.no_grad()
def test_operations_of_onednn_do_not_run_within_vmap(on: None):
    seen = []
    torch.func.vmap(lambda x: seen.append(may_compute(x)) or x)(torch.zeros(2, 3))
    assert seen == [False]


@torch.no_grad()
def test_a_processor_without_the_operations_never_runs_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onednn, "is_on", lambda: False)
    assert not may_compute(torch.zeros(2, 3))


def test_an_operation_that_torch_removed_is_told_in_one_sentence_with_the_way_out():
    x = torch.ones(2)
    assert problem_of("exp", lambda: torch.ops.aten.exp(x), x.exp()) is None
    found = problem_of("mkldnn::gone", lambda: torch.ops.mkldnn.gone(x), x)
    assert found is not None
    assert found.startswith(f"torch {torch.__version__} changed mkldnn::gone: ")
    assert found.endswith("; set EQSSL_FAST_CPU=0 to run without it")
    assert len(found.splitlines()) == 1


def test_an_operation_that_takes_other_arguments_or_gives_other_numbers_is_told():
    x = torch.ones(2)
    assert "changed aten::exp: " in problem_of("aten::exp", lambda: torch.ops.aten.exp(x, 3, "none"), x)
    assert "gives other numbers" in problem_of("aten::exp", lambda: torch.ops.aten.exp(x), x)
