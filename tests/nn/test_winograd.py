"""Convolution at points, against torch's in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eqssl.nn import winograd
from eqssl.nn.plain import PlainConv2d

X86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
needs_x86 = pytest.mark.skipif(not X86, reason="runs on x86 alone")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps(batch: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    return drawn(batch, height, width, channels, seed=seed).permute(0, 3, 1, 2)


def reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, rectified: bool, summand: Tensor | None
) -> Tensor:
    bias = None if bias is None else bias.double()
    y = F.conv2d(x.double(), weight.double(), bias, padding=weight.shape[-1] // 2)
    y = y if summand is None else y + summand
    return y.clamp(min=0) if rectified else y


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@needs_x86
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 16])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 2), (8, 8), (5, 40), (24, 3)])
def test_it_is_torchs_convolution(kernel: int, width: int, in_channels: int, out_channels: int):
    x, height = maps(3, in_channels, 6, width), 6
    weight, bias = drawn(out_channels, in_channels, kernel, kernel, seed=1), drawn(out_channels, seed=2)
    with torch.no_grad():
        filters = winograd.packed(weight, x)
        for with_bias, rectified, added in itertools.product((True, False), repeat=3):
            summand = maps(3, out_channels, height, width, seed=3) if added else None
            exact = reference(x, weight, bias if with_bias else None, rectified, summand)
            target = None if summand is None else summand.clone(memory_format=torch.channels_last)
            found = winograd.convolve(x, filters, bias if with_bias else None, rectified, target)
            assert error(found, exact) < 2e-6
            assert found.is_contiguous(memory_format=torch.channels_last)
            assert target is None or found.data_ptr() == target.data_ptr()


@needs_x86
@pytest.mark.parametrize("kernel", [3, 5])
def test_another_filter_is_told_apart(kernel: int):
    """The negative control of the comparison above."""
    x, weight = maps(3, 8, 6, 8), drawn(8, 8, kernel, kernel)
    wrong = weight.clone()
    wrong[3, 2, 0, kernel - 1] += 0.01
    with torch.no_grad():
        found = winograd.convolve(x, winograd.packed(wrong, x), None, rectified=False)
    assert error(found, reference(x, weight, None, False, None)) > 1e-5


@needs_x86
@pytest.mark.parametrize("kernel", [3, 5])
def test_parts_of_a_batch_are_no_different(kernel: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(winograd, "_BYTES", 1)
    x, weight = maps(70, 4, 5, 7), drawn(6, 4, kernel, kernel)
    sizes = {len(part) for part in x.split(winograd._images_at_once(x))}
    assert sizes == {24, 22}
    with torch.no_grad():
        found = winograd.convolve(x, winograd.packed(weight, x), None, rectified=True)
        assert error(found, reference(x, weight, None, True, None)) < 2e-6
        # a filter made for one size is used for others
        other = maps(2, 4, 9, 3, seed=5)
        found = winograd.convolve(other, winograd.packed(weight, x), None, rectified=True)
        assert error(found, reference(other, weight, None, True, None)) < 2e-6


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_formula_of_one_tile_by_a_loop(kernel: int):
    """Filters at points and shares of a bias, against polynomials written out."""
    filters = winograd.filters_at_points(drawn(1, 1, kernel, kernel).double()).flatten(0, 2).squeeze(-1)
    g = drawn(1, 1, kernel, kernel).double()[0, 0]
    found = winograd.points(kernel)
    assert len(set(found)) == len(found) == kernel + 2
    for row in range(kernel):
        for place, p in enumerate(found):
            slope = 1.0
            for q in found:
                slope *= p - q if q != p else 1
            value = sum(float(g[row, i]) * p**i for i in range(kernel)) / slope
            assert float(filters[place, row]) == pytest.approx(value, rel=1e-12)
        assert float(filters[-1, row]) == float(g[row, -1])
    *shares, at_infinity = winograd.shares_of_bias(kernel)
    for result in range(4):
        total = sum(p**result * share for p, share in zip(found, shares, strict=True))
        assert total + (at_infinity if result == 3 else 0) == pytest.approx(1)


@needs_x86
@pytest.mark.parametrize(("kernel", "usual", "most"), [(3, (1.0, 2.0), 2.5), (5, (1.0, 2.0, 3.0), 4)])
def test_its_points_keep_rounding_errors_small(kernel, usual, most, monkeypatch):
    x, weight = maps(8, 64, 16, 16).relu(), drawn(64, 64, kernel, kernel)
    exact = reference(x, weight, None, False, None)
    with torch.no_grad():
        torchs = error(F.conv2d(x, weight, padding=kernel // 2), exact)
        ours = error(winograd.convolve(x, winograd.packed(weight, x), None, rectified=False), exact)
        monkeypatch.setitem(winograd.POSITIVE, kernel, usual)
        worse = error(winograd.convolve(x, winograd.packed(weight, x), None, rectified=False), exact)
    assert ours < most * torchs
    assert ours < worse


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_it_is_taken_for_many_channels_and_pixels(one_thread):
    assert winograd.pays(maps(16, 128, 16, 16), 128, 3)
    assert winograd.pays(maps(16, 48, 16, 16), 48, 5)
    for x, kernel in (
        (maps(1, 128, 16, 16), 3),  # few products
        (maps(16, 32, 32, 32), 3),  # few channels
        (maps(16, 128, 7, 7), 3),  # the last tile lies partly beyond the map
        (maps(1, 512, 4, 4), 5),  # few pixels
        (maps(16, 128, 16, 16), 1),
        (maps(16, 128, 16, 16), 7),
    ):
        assert not winograd.pays(x, x.shape[1], kernel)
    torch.set_num_threads(4)
    assert not winograd.pays(maps(4, 128, 16, 16), 128, 3)


@needs_x86
def test_a_layer_takes_it(one_thread, monkeypatch: pytest.MonkeyPatch):
    layer = PlainConv2d(48, 48, 5, "no", bias=True, rectified=True).requires_grad_(False)
    layer.weight.copy_(drawn(48, 48, 5, 5))
    layer.bias.copy_(drawn(48))
    x, summand = maps(16, 48, 16, 16), maps(16, 48, 16, 16, seed=4)
    exact = reference(x, layer.weight, layer.bias, True, summand)
    with torch.no_grad():
        found = layer(x, summand.clone(memory_format=torch.channels_last), overwrite=True)
        assert error(found, exact) < 2e-6
        assert error(layer(x, summand), exact) < 2e-6
        layer.weight.mul_(2)
        assert error(layer(x), reference(x, layer.weight, layer.bias, True, None)) < 2e-6
        layer.weight.div_(2)
        monkeypatch.setattr(winograd, "pays", lambda *_: False)
        other = layer(x, summand)
    # the other way there are other rounding errors
    assert not torch.equal(found, other)
    assert error(other, exact) < 2e-6


@needs_x86
@pytest.mark.parametrize("down", ["strided", "boxed"])
def test_halving_layers_do_not_take_it(one_thread, down, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(winograd, "convolve", refuse)
    layer = PlainConv2d(48, 48, 5, down, bias=False).requires_grad_(False)
    with torch.no_grad():
        layer(maps(64, 48, 16, 16))
        # as one that keeps the size does
        with pytest.raises(AssertionError):
            PlainConv2d(48, 48, 5, "no", bias=False).requires_grad_(False)(maps(64, 48, 16, 16))
