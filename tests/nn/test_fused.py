"""Convolution, sum and ReLU as one operation, against torch's own operations one after the other."""

import copy
import itertools
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from eqssl.nn.fused import can_be_target, fused_precision, hides_numbers, torchs_own
from eqssl.nn.plain import PlainConv2d

X86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
needs_x86 = pytest.mark.skipif(not X86, reason="runs fused on x86 alone")


def layer(
    channels: int = 8,
    kernel: int = 3,
    down: str = "no",
    bias: bool = True,
    rectified: bool = False,
    seed: int = 0,
) -> PlainConv2d:
    made = PlainConv2d(channels, 6, kernel, down, bias, rectified).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def image(channels: int = 8, side: int = 9, batch: int = 3, seed: int = 1) -> Tensor:
    made = torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last)


def expected(made: PlainConv2d, x: Tensor, summand: Tensor | None = None) -> Tensor:
    """Torch's operations; the mean over 2 x 2 pixels of `boxed` is taken after the convolution."""
    even, padding = x.shape[-1] % 2 == 0, made.kernel // 2
    if made.down == "boxed" and even:
        y = F.avg_pool2d(F.conv2d(x, made.weight, made.bias, 1, padding), 2)
    else:
        y = F.conv2d(x, made.weight, made.bias, 1 if made.down == "no" else 2, padding)
    y = y if summand is None else y + summand
    return y.clamp(min=0) if made.rectified else y


def close(found: Tensor, reference: Tensor, tolerance: float = 1e-5) -> bool:
    return float((found.float() - reference.float()).norm()) <= tolerance * float(reference.float().norm())


@needs_x86
@pytest.mark.parametrize("down", ["no", "strided", "boxed"])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_it_is_torchs_convolution_sum_and_relu(channels: int, kernel: int, down: str):
    for side, bias, rectified in itertools.product((8, 9), (True, False), (True, False)):
        made, x = layer(channels, kernel, down, bias, rectified), image(channels, side)
        with torch.no_grad():
            assert fused_precision(x, made.weight)
            plain = expected(made, x)
            assert close(made(x), plain)
            summand = torch.randn_like(plain).contiguous(memory_format=torch.channels_last)
            reference, before = expected(made, x, summand), summand.clone()
            assert close(made(x, summand), reference)
            assert torch.equal(summand, before)
            assert close(made(x, summand, overwrite=True), reference)
            # the result, and nothing else, is written over it
            assert close(summand, reference)


@needs_x86
def test_another_filter_is_told_apart():
    """The negative control of the comparison above."""
    made, other, x = layer(), layer(seed=5), image()
    with torch.no_grad():
        assert not close(made(x), expected(other, x), 1e-2)


@needs_x86
def test_under_autocast_it_is_as_precise_as_torch():
    made, x = layer(rectified=True), image()
    summand = torch.randn_like(expected(made, x)).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = made(x, summand.bfloat16(), overwrite=True)
    assert found.dtype == torch.bfloat16
    assert close(found, expected(made, x, summand), 1e-2)


@needs_x86
def test_a_summand_of_another_precision_is_added_and_left_as_it_was():
    made, x = layer(rectified=True), image()
    summand = torch.randn_like(expected(made, x)).contiguous(memory_format=torch.channels_last)
    before = summand.clone()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not can_be_target(summand, fused_precision(x, made.weight))
        found = made(x, summand, overwrite=True)
    assert torch.equal(summand, before)
    assert close(found, expected(made, x, summand), 1e-2)


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
def test_maps_are_channels_last_whatever_goes_in(channels: int, contiguous: bool, gradients: bool):
    x = image(channels)
    x = x.contiguous() if contiguous else x
    with torch.set_grad_enabled(gradients):
        found = layer(channels)(x)
    assert found.stride() == found.contiguous(memory_format=torch.channels_last).stride()
    assert close(found, expected(layer(channels), x))


def write(made: PlainConv2d) -> None:
    made.weight.mul_(-2)


def load(made: PlainConv2d) -> None:
    made.load_state_dict(layer(seed=3).state_dict())


def replace(made: PlainConv2d) -> None:
    made.weight = nn.Parameter(made.weight * 3, requires_grad=False)


def convert(made: PlainConv2d) -> None:
    made.double().weight.mul_(5)
    made.float()


@pytest.mark.parametrize("change", [write, load, replace, convert])
def test_a_changed_filter_is_used(change):
    made, x = layer(), image()
    with torch.no_grad():
        first = made(x)
        change(made)
        second = made(x)
        assert not close(second, first, 1e-2)
        assert close(second, expected(made, x))


def test_other_sizes_and_precisions_after_one_another():
    made = layer(down="boxed")
    for side, precision in itertools.product((8, 9, 14), (torch.float32, torch.bfloat16)):
        x = image(side=side)
        with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            assert close(made(x), expected(made, x), 2e-2 if precision == torch.bfloat16 else 1e-5)


def test_weights_made_under_inference_mode():
    with torch.inference_mode():
        made, x = layer(), image()
        first = made(x)
        made.weight.mul_(-2)
        assert not close(made(x), first, 1e-2)
        assert close(made(x), expected(made, x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])  # noqa: S301
def test_a_layer_that_has_run_is_copied_and_pickled(copied):
    made, x = layer(), image()
    with torch.no_grad():
        first = made(x)
        twin = copied(made)
        assert torch.equal(twin(x), first)
        twin.weight.zero_()
        assert torch.equal(made(x), first)


def test_where_gradients_are_on_they_are_torchs():
    made, x = layer(rectified=True), image().requires_grad_()
    assert not fused_precision(x, made.weight)
    made(x).square().sum().backward()
    reference = image().requires_grad_()
    expected(made, reference).square().sum().backward()
    assert close(x.grad, reference.grad)


def test_derivatives_by_functions_are_torchs():
    made, x = layer(), image()
    _, found = torch.func.jvp(made, (x,), (torch.ones_like(x),))
    assert close(found, expected(made, torch.ones_like(x)) - expected(made, torch.zeros_like(x)))
    with torch.no_grad():
        batches = torch.stack([x, 2 * x])
        assert close(torch.func.vmap(made)(batches), torch.stack([expected(made, b) for b in batches]))


def test_maps_of_functions_are_torchs():
    made, x, seen = layer(), image(), []

    def apply(one: Tensor) -> Tensor:
        seen.append(fused_precision(one, made.weight))
        return made(one)

    with torch.no_grad():
        torch.func.vmap(apply)(x[:, None])
    assert seen == [None]


def test_images_with_numbers_that_are_not_finite_are_told():
    x = image()
    assert not hides_numbers(x)
    with torch.no_grad():
        assert not hides_numbers(x)
        for number in (float("nan"), float("inf"), -float("inf")):
            broken = x.clone()
            broken[1, 2, 3, 4] = number
            assert hides_numbers(broken)
            assert not hides_numbers(broken.to("meta"))
    assert not hides_numbers(broken)


@needs_x86
@pytest.mark.filterwarnings("ignore")
def test_where_it_does_not_run():
    made, x = layer(), image()
    assert not fused_precision(x, made.weight)
    with torch.no_grad():
        assert fused_precision(x, made.weight)
        assert not fused_precision(x.double(), made.weight.double())
        assert not fused_precision(x.half(), made.weight.half())
        assert not fused_precision(x.double(), made.weight)
        with torch.autocast("cpu", torch.float16):
            assert not fused_precision(x, made.weight)
        with torch.backends.mkldnn.flags(enabled=False):
            assert not fused_precision(x, made.weight)
        with FakeTensorMode() as mode:
            assert not fused_precision(mode.from_tensor(x), mode.from_tensor(made.weight))
        with torchs_own():
            assert not fused_precision(x, made.weight)
        assert fused_precision(x, made.weight)
        traced = torch.jit.trace(made, x)
    assert "mkldnn" not in str(traced.inlined_graph)
    assert torch.equal(traced(x), made(x))
