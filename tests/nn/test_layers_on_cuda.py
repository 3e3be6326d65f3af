"""Every layer computes on a CUDA device what it computes on a CPU: outputs, gradients, statistics."""

import copy

import pytest
import torch
from moving import relative_error
from test_every_layer import FIELDS, LAYERS
from torch import Tensor, nn

from eqssl.nn.linear import EquivariantLinear
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.symmetry import group, group_names
from eqssl.symmetry.fourier import field_size
from eqssl.symmetry.gsets import GSet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def full_float32():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def results(layer: nn.Module, x: Tensor, cotangent: Tensor | None = None) -> dict[str, Tensor]:
    x = x.detach().requires_grad_()
    y = layer(x)
    if cotangent is None:
        cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    layer.zero_grad()
    (y * cotangent.to(y)).sum().backward()
    gradients = {f"gradient of {name}": p.grad for name, p in layer.named_parameters()}
    running = {name: b for name, b in layer.named_buffers() if name.startswith("running")}
    return {"output": y.detach(), "gradient of input": x.grad, **gradients, **running}


def check_same(layer: nn.Module, x: Tensor, tolerance: float) -> None:
    there = copy.deepcopy(layer).cuda()
    expected, found = results(layer, x), results(there, x.cuda())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].is_cuda
        assert relative_error(found[name].cpu(), value) < tolerance, name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", group_names())
def test_a_layer_on_cuda_computes_as_on_the_cpu(
    name: str, kind: str, layout: torch.memory_format, training: bool
):
    G = group(name)
    if kind == "halving by maximum" and G.is_continuous:
        pytest.skip("Fourier coefficients have no maximum")
    layer = LAYERS[kind](G)
    with torch.no_grad():
        for values in (*layer.parameters(), *layer.buffers()):
            values.add_(torch.rand_like(values))
    for dtype, tolerance in [(torch.float64, 1e-10), (torch.float32, 2e-5)]:
        x = (
            torch.randn(4, FIELDS * field_size(G), 9, 9, dtype=dtype)
            .add(0.5)
            .contiguous(memory_format=layout)
        )
        check_same(copy.deepcopy(layer).to(dtype).train(training), x, tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["trivial", "D4", "SO2"])
def test_batch_norm_of_bfloat16_is_near_that_of_float32(name: str, layout: torch.memory_format):
    G = group(name)
    norm = FieldBatchNorm(FIELDS, field_size(G), G.is_continuous).cuda()
    x = torch.randn(8, FIELDS * field_size(G), 9, 9, device="cuda").add(0.5).contiguous(memory_format=layout)
    cotangent = torch.randn_like(x)
    expected = results(copy.deepcopy(norm), x, cotangent)
    found = results(norm, x.bfloat16(), cotangent)
    for name in expected:
        assert relative_error(found[name].float(), expected[name]) < 2e-2, name
    assert found["output"].dtype == torch.bfloat16
    assert found["running_var"].dtype == torch.float32


def test_an_equivariant_linear_map_on_cuda_is_the_same_as_on_a_cpu():
    G = group("D4")
    layer = EquivariantLinear(GSet.regular(G), GSet.regular(G), 3, 2).double()
    check_same(layer, torch.randn(5, 3, 8, dtype=torch.float64), 1e-10)
