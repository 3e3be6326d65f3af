"""Batch norm in elementary operations against torch's kernels, and what it keeps when compiled."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.decomposition import select_decomp_table
from torch.fx import GraphModule

from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.nn.normalisation_elementary import NormaliseElementary
from eqssl.nn.pooling import as_channels_last
from eqssl.symmetry.filter_bases import filter_basis


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch._dynamo.reset()


def norm(fields: int, size: int, fourier: bool) -> FieldBatchNorm:
    made = FieldBatchNorm(fields, size, fourier)
    with torch.no_grad():
        made.weight.normal_()
        made.bias.normal_()
    return made


@pytest.mark.parametrize(("size", "fourier"), [(1, False), (8, False), (7, True)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_elementary_batch_norm_has_the_outputs_gradients_and_statistics_of_torchs_kernels(
    size: int, fourier: bool, layout: torch.memory_format
):
    """As it runs on a CUDA device, uncompiled."""
    made = norm(3, size, fourier).double()
    x = (torch.randn(4, 3 * size, 5, 5).double() * 2 + 1).contiguous(memory_format=layout)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    cotangent = torch.randn_like(x)
    made.momentum = 1.0
    (made(one) * cotangent).sum().backward()
    expected = [parameter.grad.clone() for parameter in made.parameters()]
    made.zero_grad()
    found, mean, variance = NormaliseElementary.apply(other, made.weight, made.bias, fourier, made.eps)
    torch.testing.assert_close(found, made(x))
    (found * cotangent).sum().backward()
    torch.testing.assert_close(other.grad, one.grad)
    torch.testing.assert_close([parameter.grad for parameter in made.parameters()], expected)
    torch.testing.assert_close(mean, made.running_mean)
    count = x.numel() // 3
    torch.testing.assert_close(variance * count / (count - 1), made.running_var)


@pytest.mark.parametrize(("size", "fourier"), [(1, False), (8, False), (7, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_batch_norm_computes_the_same(size: int, fourier: bool, dtype: torch.dtype):
    eager = norm(3, size, fourier).to(dtype)
    copied = copy.deepcopy(eager)
    compiled = torch.compile(copied, fullgraph=True, backend="aot_eager")
    x = as_channels_last(torch.randn(4, 3 * size, 5, 5, dtype=dtype) * 2 + 1)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    cotangent = torch.randn_like(x)
    expected, found = eager(one), compiled(other)
    (expected * cotangent).sum().backward()
    (found * cotangent).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(other.grad, one.grad)
    for parameter, reference in zip(copied.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, reference.grad)
    for buffer, reference in zip(copied.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(buffer, reference)


def test_compiled_batch_norm_keeps_narrow_maps_narrow():
    made = norm(3, 4, False)
    x = as_channels_last(torch.randn(4, 12, 5, 5)).bfloat16().requires_grad_()
    y = torch.compile(made, fullgraph=True, backend="aot_eager")(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype, made.weight.grad.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    torch.testing.assert_close(y.float(), copy.deepcopy(made)(x.detach().float()), atol=2e-2, rtol=2e-2)


def test_compiled_batch_norm_keeps_nothing_wide_for_the_backward_pass():
    """A compiled step under autocast keeps maps of bfloat16 alone; those of float32 would cost it a third."""
    kept: list[torch.Tensor] = []

    def forward_graph(module: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        (outputs,) = (node.args[0] for node in module.graph.nodes if node.op == "output")
        kept.extend(output.meta["val"] for output in outputs if output is not None)
        return make_boxed_func(module)

    backend = aot_autograd(
        fw_compiler=forward_graph,
        bw_compiler=lambda module, inputs: make_boxed_func(module),
        partition_fn=min_cut_rematerialization_partition,
        decompositions=select_decomp_table(),
    )
    layers = []
    for _ in range(2):
        convolution = GroupConv2d(filter_basis("D4", "group", 3), 2, 2, 3)
        layers += [convolution, norm(2, 8, False), nn.ReLU()]
    compiled = torch.compile(nn.Sequential(*layers), fullgraph=True, backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        y = compiled(as_channels_last(torch.randn(4, 16, 12, 12)).requires_grad_())
    y.float().sum().backward()
    maps = [tensor for tensor in kept if tensor.shape == (4, 16, 12, 12)]
    assert len(maps) >= 4
    # a non-linearity may keep the signs
    assert {tensor.dtype for tensor in maps} <= {torch.bfloat16, torch.bool}
