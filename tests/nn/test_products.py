import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from eqssl.nn import onednn, products
from eqssl.nn.products import problem, transformed


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (5, 7, 3), (100, 63, 72)])
@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_product_equals_the_slow_sum(
    dtype: torch.dtype,
    rows: int,
    inputs: int,
    outputs: int,
    gradients: bool,
    switch: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(onednn.SWITCH, switch)
    x, matrix = drawn(rows, inputs, dtype=dtype), drawn(outputs, inputs, seed=1, dtype=dtype)
    with torch.set_grad_enabled(gradients):
        found = transformed(x, matrix)
    assert found.dtype == dtype
    expected = (x.double()[:, None] * matrix.double()).sum(2)
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_rows_need_not_lie_next_to_each_other():
    wide = drawn(9, 20)
    matrix = drawn(8, 6, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(transformed(wide[::2, 3:11], matrix.t()), wide[::2, 3:11] @ matrix)


def test_a_product_has_the_right_gradients():
    x, matrix = drawn(4, 3).double().requires_grad_(), drawn(2, 3, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(transformed, (x, matrix))
    x, matrix = drawn(4, 3).requires_grad_(), drawn(2, 3, seed=1)
    transformed(x, matrix).sum().backward()
    torch.testing.assert_close(x.grad, matrix.sum(0).expand(4, 3))


def test_fake_tensors_and_vmap_use_torchs_product():
    x, matrix = drawn(4, 3), drawn(2, 3, seed=1)
    with torch.no_grad():
        with FakeTensorMode() as mode:
            assert transformed(mode.from_tensor(x), mode.from_tensor(matrix)).shape == (4, 2)
        found = torch.func.vmap(lambda rows: transformed(rows, matrix))(torch.stack([x, 2 * x]))
        torch.testing.assert_close(found[1], 2 * transformed(x, matrix))


@pytest.mark.skipif(not onednn.is_on(), reason="the operation is for x86")
def test_torch_still_has_the_product_of_onednn():
    assert problem() is None, problem()


@torch.no_grad()
def test_a_torch_without_the_operation_multiplies_by_its_own(monkeypatch: pytest.MonkeyPatch):
    x, matrix = drawn(4, 3), drawn(2, 3, seed=1)
    monkeypatch.setattr(products, "problem", lambda: "torch 9 changed it")
    assert torch.equal(transformed(x, matrix), torch.nn.functional.linear(x, matrix))
