import pytest
import torch
import torch.nn.functional as F

from eqssl.nn.exactness import check_window, is_exact
from eqssl.nn.pooling import _mean_of_padded, halve, pool_group, pool_space
from eqssl.symmetry import assert_equivariant, equivariance_error, group

D4 = group("D4")


@pytest.mark.parametrize("side", range(2, 15))
def test_halving_is_exact_on_every_size(side: int):
    images = torch.randn(2, 3, side, side)
    assert halve(images).shape[-1] == (side + 1) // 2
    assert_equivariant(halve, D4, images, 1e-6, output="image")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [1, 3, 7, 9])
def test_the_form_for_cuda_devices_has_the_same_values_and_gradients(side: int, layout: torch.memory_format):
    x = torch.randn(2, 5, side, side, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    y = x.detach().clone().requires_grad_()
    found, expected = _mean_of_padded(x, 3, 1), halve(y)
    cotangent = torch.randn_like(expected)
    (found * cotangent).sum().backward()
    (expected * cotangent).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("side", [5, 6])
def test_halving_with_the_wrong_parity_is_not_exact(side: int):
    kernel, padding = (3, 1) if side % 2 == 0 else (2, 0)
    images = torch.randn(2, 3, side, side)
    assert equivariance_error(lambda x: F.avg_pool2d(x, kernel, 2, padding), D4, images, output="image") > 0.1


@pytest.mark.parametrize("size", range(5, 12))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (5, 3, 2), (4, 2, 1), (1, 2, 0)]
)
def test_the_rule_says_exactly_which_windows_commute(size: int, kernel: int, stride: int, padding: int):
    # a filter that is symmetric itself, so that only the window's places matter
    weight = torch.ones(1, 1, kernel, kernel, dtype=torch.float64)
    images = torch.randn(1, 1, size, size, dtype=torch.float64)
    error = equivariance_error(
        lambda x: F.conv2d(x, weight, None, stride, padding), D4, images, output="image"
    )
    assert (error < 1e-12) == is_exact(size, kernel, stride, padding)


def test_a_broken_window_is_refused_with_the_sizes_that_work():
    with pytest.raises(ValueError, match=r"stem: a 3 x 3 .* 28 x 28 pixels; .*: 27 or 29"):
        check_window(28, 3, 2, 1, "stem")


def test_pooling_over_the_plane_keeps_the_group_last():
    maps = torch.randn(2, 12, 3, 3)
    pooled = pool_space(maps, 4)
    assert pooled.shape == (2, 3, 4)
    for f in range(3):
        for g in range(4):
            torch.testing.assert_close(pooled[:, f, g], maps[:, g * 3 + f].mean((1, 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_group_pooling_keeps_the_dtype(dtype: torch.dtype):
    features = torch.randn(2, 3, 4).to(dtype)
    assert pool_group(features, "mean").dtype == dtype
    assert torch.equal(pool_group(features, "max"), features.max(-1).values)
    with pytest.raises(ValueError, match="allowed: mean, max"):
        pool_group(features, "sum")  # type: ignore[arg-type]
