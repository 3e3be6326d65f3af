"""Every loss computes on a CUDA device what it computes on a CPU: values and gradients."""

import pytest
import torch
from test_conditions_of_losses import KINDS, LOSSES, TEMPERATURE, TOLERANCE, inputs, turned
from torch import Tensor

from eqssl.losses import nt_xent
from eqssl.symmetry import group, group_names

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def result(loss: str, given: list[Tensor], name: str, kind: str | None, device: str) -> list[Tensor]:
    """The loss and the gradients of its inputs, on the CPU."""
    here = [z.detach().to(device).requires_grad_() for z in given]
    value = LOSSES[loss].run(*here, group(name), kind, TEMPERATURE)
    value.backward()
    assert value.device.type == device
    return [value.detach().cpu(), *(z.grad.cpu() for z in here if z.grad is not None)]


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference of a tensor, relative to its largest number or absolute where that is below 1."""
    return max(
        float((one - other).abs().max() / other.abs().max().clamp(min=1))
        for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_gradients_on_cuda_are_those_of_the_cpu(loss: str, kind: str | None, dtype: torch.dtype):
    for name in group_names():
        given = inputs(loss, name, dtype)
        found, expected = (result(loss, given, name, kind, device) for device in ("cuda", "cpu"))
        assert difference(found, expected) < TOLERANCE[dtype], name


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("loss", LOSSES)
def test_condition_c_holds_on_cuda_and_not_for_the_plain_loss(loss: str, kind: str | None):
    for name in group_names():
        given = inputs(loss, name, torch.float32)
        before, after = (result(loss, z, name, kind, "cuda")[:1] for z in (given, turned(given, name, 0)))
        moved = difference(after, before)
        if kind is not None or name == "trivial":
            assert moved < TOLERANCE[torch.float32], name
        else:
            assert moved > 1e-4, name


@pytest.mark.parametrize("kind", ["max", None])
def test_bfloat16_embeddings_under_autocast_have_a_loss_in_float32(kind: str | None):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 512, 32, 8, generator=generator)
    low = z.to("cuda", torch.bfloat16).requires_grad_()
    with torch.autocast("cuda", torch.bfloat16):
        found = nt_xent(*low, group("D4"), kind, TEMPERATURE)
    found.backward()
    same = low.detach().double().cpu().requires_grad_()
    expected = nt_xent(*same, group("D4"), kind, TEMPERATURE)
    expected.backward()
    assert found.dtype == torch.float32
    assert low.grad.dtype == torch.bfloat16
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    error = (low.grad.cpu().double() - same.grad).norm() / same.grad.norm()
    assert float(error) < 0.01
