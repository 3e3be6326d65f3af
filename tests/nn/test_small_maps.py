"""Convolution with interleaved images, against torch's in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from moving import act_on_map, relative_error
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from eqssl.nn import small_maps
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.plain import PlainConv2d
from eqssl.symmetry import group
from eqssl.symmetry.filter_bases import filter_basis

X86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
needs_x86 = pytest.mark.skipif(not X86, reason="runs on x86 alone")
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1e-2, torch.float64: 1e-14}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch):
    """Interleave whatever may be interleaved, however small and on whatever processor."""
    monkeypatch.setattr(small_maps, "_FEWEST_NUMBERS", 0)
    monkeypatch.setattr(small_maps, "_FEWEST_CHANNELS", {3: 0, 5: 0, 7: 0})
    monkeypatch.setattr(small_maps, "_FEWEST_ROWS_OF_CHANNELS", 0)
    monkeypatch.setattr(small_maps, "runs_onednn", lambda: True)
    monkeypatch.setattr(small_maps, "multiplies_bfloat16", lambda: True)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps(batch: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    return drawn(batch, height, width, channels, seed=seed).permute(0, 3, 1, 2)


def exact(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x.double(), weight.double(), padding=weight.shape[-1] // 2)


def test_the_images_of_a_column_lie_next_to_each_other():
    x = maps(3, 2, 4, 5)
    rows = small_maps.interleaved(x)
    assert rows.shape == (1, 2, 4, 15)
    for image, channel, row, column in itertools.product(range(3), range(2), range(4), range(5)):
        assert rows[0, channel, row, column * 3 + image] == x[image, channel, row, column]
    assert torch.equal(small_maps.apart(rows, 3), x)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (4, 4), (3, 5), (8, 7)])
@pytest.mark.parametrize("contiguous", [True, False])
def test_it_is_torchs_convolution_with_its_gradients(
    dtype: torch.dtype, kernel: int, height: int, width: int, contiguous: bool
):
    x, weight = maps(5, 6, height, width).to(dtype), drawn(4, 6, kernel, kernel, seed=1).to(dtype)
    x = x.contiguous() if contiguous else x
    found = small_maps.convolve(x.requires_grad_(), weight.requires_grad_())
    assert found.is_contiguous(memory_format=torch.channels_last)
    cotangent = maps(5, 4, height, width, seed=2).to(dtype)
    gradients = torch.autograd.grad(found, (x, weight), cotangent)
    wide = x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    reference = exact(*wide)
    expected = torch.autograd.grad(reference, wide, cotangent.double())
    for one, other in zip((found, *gradients), (reference, *expected), strict=True):
        assert one.dtype == dtype
        assert relative_error(one.double(), other) < TOLERANCE[dtype]


def test_another_filter_is_told_apart():
    """The negative control of the comparison above."""
    x, weight = maps(5, 6, 4, 4), drawn(4, 6, 3, 3)
    wrong = weight.clone()
    wrong[3, 2, 0, 2] += 0.01
    assert relative_error(small_maps.convolve(x, wrong).double(), exact(x, weight)) > 1e-4


@pytest.mark.parametrize("needed", [(True, False), (False, True)])
def test_one_gradient_alone(needed: tuple[bool, bool]):
    for dtype in (torch.float64, torch.float32):
        tensors = maps(5, 6, 4, 4).to(dtype), drawn(4, 6, 3, 3).to(dtype)
        x, weight = (t.detach().requires_grad_(wanted) for t, wanted in zip(tensors, needed, strict=True))
        small_maps.convolve(x, weight).square().sum().backward()
        assert [t.grad is not None for t in (x, weight)] == list(needed)


def test_derivatives_of_both_orders_are_right():
    x, weight = maps(2, 2, 3, 3).double().requires_grad_(), drawn(2, 2, 3, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(small_maps.convolve, (x, weight))
    assert torch.autograd.gradgradcheck(small_maps.convolve, (x, weight))


def test_where_it_runs(always: None):
    def runs(x: Tensor, kernel: int = 3) -> bool:
        return small_maps.pays(x, 6, kernel)

    x = maps(5, 6, 4, 4)
    assert runs(x)
    assert runs(x.bfloat16())
    # no padding, or too little of it
    assert not runs(x, kernel=1)
    assert not runs(maps(5, 6, 4, 5))
    assert runs(maps(5, 6, 4, 5).bfloat16())
    assert not runs(maps(5, 6, 8, 9).bfloat16())
    # nothing to put next to each other
    assert not runs(x[:1])
    assert not runs(x.double())
    assert not runs(x.to("meta"))
    with FakeTensorMode() as mode:
        assert not runs(mode.from_tensor(x))
    seen = []
    torch.func.vmap(lambda image: seen.append(runs(image)) or image)(x[:, None])
    assert seen == [False]


@needs_x86
def test_few_channels_and_small_batches_are_left_to_torch():
    assert small_maps.pays(maps(64, 256, 4, 4), 256, 3)
    with torch.backends.mkldnn.flags(enabled=False):
        assert not small_maps.pays(maps(64, 256, 4, 4), 256, 3)
    assert not small_maps.pays(maps(64, 64, 4, 4), 64, 3)
    assert not small_maps.pays(maps(64, 256, 4, 4), 64, 3)
    assert not small_maps.pays(maps(4, 256, 4, 4), 256, 3)
    assert not small_maps.pays(maps(8, 64, 4, 4).bfloat16(), 64, 3)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["D4", "C8", "SO2"])
def test_a_group_convolution_of_small_maps(always: None, name: str, training: bool, precision: torch.dtype):
    G = group(name)
    layer = GroupConv2d(filter_basis(name, "group", 3), 2, 3, 3).train(training)
    layer.requires_grad_(training)
    size = layer.expanded_inputs
    x = maps(4, size, 4, 4)
    with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
        assert small_maps.pays(x.to(precision), 3 * size // 2, 3)
        found = layer(x)
        assert found.dtype == precision
        for g in G.grid_elements:
            moved = layer(act_on_map(G, x, g))
            assert relative_error(moved.float(), act_on_map(G, found.float(), g)) < TOLERANCE[precision]
    reference = exact(x, layer.expand())
    assert relative_error(found.double(), reference) < TOLERANCE[precision]
    if training:
        (coefficients,) = torch.autograd.grad(found.double().square().sum(), layer.weight)
        (expected,) = torch.autograd.grad(reference.square().sum(), layer.weight)
        assert relative_error(coefficients, expected) < TOLERANCE[precision]


def test_a_map_of_another_type_is_refused_as_by_torch(always: None):
    layer = GroupConv2d(filter_basis("C4", "group", 3), 2, 3, 3)
    with pytest.raises(RuntimeError, match="type"):
        layer(maps(4, 8, 4, 4).double())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_released_convolution_of_small_maps(always: None, precision: torch.dtype):
    for bias, rectified, added in itertools.product((True, False), repeat=3):
        layer = PlainConv2d(6, 4, 3, "no", bias, rectified).requires_grad_(False)
        layer.weight.copy_(drawn(4, 6, 3, 3, seed=1))
        if bias:
            layer.bias.copy_(drawn(4, seed=2))
        # batches of other sizes, after one another and back again
        for batch in (5, 3, 5):
            x, summand = maps(batch, 6, 4, 4), maps(batch, 4, 4, 4, seed=3)
            expected = exact(x, layer.weight) + (layer.bias[:, None, None] if bias else 0)
            expected = expected + (summand if added else 0)
            expected = expected.clamp(min=0) if rectified else expected
            with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
                summand = summand.to(precision)
                before = summand.clone()
                found = layer(x, summand if added else None)
                assert torch.equal(summand, before)
                assert relative_error(found.double(), expected) < TOLERANCE[precision]
                found = layer(x, summand if added else None, overwrite=True)
            assert found.is_contiguous(memory_format=torch.channels_last)
            assert relative_error(found.double(), expected) < TOLERANCE[precision]
            assert not added or found.data_ptr() == summand.data_ptr()
