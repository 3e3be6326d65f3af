"""Convolution at points, against torch's in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eqssl.fast_cpu import winograd
from eqssl.nn.onednn import is_on

needs_onednn = pytest.mark.skipif(not is_on(), reason="the operations are for x86")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps(batch: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    return drawn(batch, height, width, channels, seed=seed).permute(0, 3, 1, 2)


def reference(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    bias = None if bias is None else bias.double()
    return F.conv2d(x.double(), weight.double(), bias, padding=weight.shape[-1] // 2)


def found(x: Tensor, weight: Tensor, bias: Tensor | None = None, made_for: Tensor | None = None) -> Tensor:
    filters = winograd.filters_at_points(weight, x if made_for is None else made_for)
    return winograd.convolve_at_points(x, filters, bias, weight.shape[-1])


def error(one: Tensor, exact: Tensor) -> float:
    return float((one.double() - exact).norm() / exact.norm())


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 16])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 2), (8, 8), (5, 40), (24, 3)])
def test_convolution_at_points_is_torchs(kernel: int, width: int, in_channels: int, out_channels: int):
    x, weight = maps(3, in_channels, 6, width), drawn(out_channels, in_channels, kernel, kernel, seed=1)
    for bias in (None, drawn(out_channels, seed=2)):
        y = found(x, weight, bias)
        assert error(y, reference(x, weight, bias)) < 2e-6
        assert y.is_contiguous(memory_format=torch.channels_last)


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize("kernel", [3, 5])
def test_convolution_at_points_with_another_filter_differs(kernel: int):
    """The negative control of the comparison above."""
    x, weight = maps(3, 8, 6, 8), drawn(8, 8, kernel, kernel)
    wrong = weight.clone()
    wrong[3, 2, 0, kernel - 1] += 0.01
    assert error(found(x, wrong), reference(x, weight, None)) > 1e-5


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize("kernel", [3, 5])
def test_parts_of_a_batch_are_convolved_alike(kernel: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(winograd, "_BYTES", 1)
    x, weight = maps(70, 4, 5, 7), drawn(6, 4, kernel, kernel)
    sizes = {len(part) for part in x.split(winograd._images_at_once(x))}
    assert sizes == {24, 22}
    assert error(found(x, weight), reference(x, weight, None)) < 2e-6
    # a filter made for one size is used for others
    other = maps(2, 4, 9, 3, seed=5)
    assert error(found(other, weight, made_for=x), reference(other, weight, None)) < 2e-6


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_matrices_give_the_convolution_of_one_tile(kernel: int):
    """On every processor, without oneDNN: y_j = sum_i g_i d_(j + i)."""
    A, B, G = (matrix.double() for matrix in winograd.matrices(kernel))
    g, d = drawn(kernel).double(), drawn(winograd.STEP - 1 + kernel, seed=1).double()
    expected = [sum(float(g[i] * d[j + i]) for i in range(kernel)) for j in range(winograd.STEP)]
    torch.testing.assert_close(A @ ((G @ g) * (B @ d)), torch.tensor(expected).double())


def test_tiles_hold_the_columns_of_a_map_and_zeros_beyond_it():
    for kernel, width in itertools.product((3, 5), (1, 3, 4, 6, 9)):
        x = drawn(2, width, 3, 4)
        tiles, padding = winograd._tiles(x, kernel), kernel // 2
        for pixel, tile in itertools.product(range(tiles.shape[0]), range(tiles.shape[2])):
            column = winograd.STEP * tile + pixel - padding
            expected = x[:, column] if 0 <= column < width else torch.zeros(2, 3, 4)
            assert torch.equal(tiles[pixel, :, tile], expected)


@needs_onednn
@torch.no_grad()
@pytest.mark.parametrize(
    ("kernel", "usual", "most"),
    [(3, (0.0, 1.0, -1.0, 2.0, -2.0), 2.5), (5, (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0), 4)],
)
def test_the_points_keep_rounding_errors_small(kernel, usual, most, monkeypatch):
    x, weight = maps(8, 64, 16, 16).relu(), drawn(64, 64, kernel, kernel)
    exact = reference(x, weight, None)
    torchs, ours = error(F.conv2d(x, weight, padding=kernel // 2), exact), error(found(x, weight), exact)
    monkeypatch.setitem(winograd.POINTS, kernel, usual)
    winograd.matrices.cache_clear()
    worse = error(found(x, weight), exact)
    winograd.matrices.cache_clear()
    assert ours < most * torchs
    assert ours < worse


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_winograd_pays_for_many_channels_and_pixels_alone(one_thread: None):
    assert winograd.pays(maps(16, 256, 8, 8), 256, 3)
    assert winograd.pays(maps(16, 64, 16, 16), 64, 5)
    for x, kernel in (
        (maps(1, 256, 8, 8), 3),  # few products
        (maps(16, 128, 16, 16), 3),  # few channels
        (maps(1, 512, 8, 8), 5),  # few pixels
        (maps(16, 256, 16, 16), 1),
        (maps(16, 256, 16, 16), 7),
    ):
        assert not winograd.pays(x, x.shape[1], kernel)
    torch.set_num_threads(4)
    assert not winograd.pays(maps(16, 256, 8, 8), 256, 3)
