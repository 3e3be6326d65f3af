import pytest
import torch
from torch import Tensor

from eqssl.nn.statistics import along_constant, as_constants, count_of_field, of_fields, repeated

FIELDS, SIZE = 3, 4


def constant(fourier: bool) -> list[float]:
    return [1.0, 0.0, 0.0, 0.0] if fourier else [1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("fourier", [False, True])
def test_mean_and_variance_of_fields_follow_from_those_of_channels(fourier: bool):
    x = torch.randn(5, SIZE * FIELDS, 6, 6, dtype=torch.float64) * 2 + torch.randn(SIZE * FIELDS, 1, 1)
    variances, means = torch.var_mean(x, (0, 2, 3), correction=0)
    mean, variance = of_fields(means, variances, SIZE, fourier)
    e = constant(fourier)
    length = sum(number**2 for number in e)
    for field in range(FIELDS):
        channels = [x[:, place * FIELDS + field] for place in range(SIZE)]
        along = sum((number * channel).mean() for number, channel in zip(e, channels, strict=True)) / length
        apart = [(channel - along * number) ** 2 for number, channel in zip(e, channels, strict=True)]
        torch.testing.assert_close(mean[field], along)
        torch.testing.assert_close(variance[field], sum(square.mean() for square in apart) / length)


@pytest.mark.parametrize("fourier", [False, True])
def test_as_constants_spreads_values_and_along_constant_is_its_transpose(fourier: bool):
    values, channels = torch.randn(FIELDS), torch.randn(SIZE * FIELDS)
    spread = as_constants(values, SIZE, fourier)
    expected = [number * value for number in constant(fourier) for value in values.tolist()]
    assert spread.tolist() == pytest.approx(expected)
    torch.testing.assert_close(spread @ channels, values @ along_constant(channels, SIZE, fourier))


@pytest.mark.parametrize(("fourier", "count"), [(False, 5 * 6 * 6 * SIZE), (True, 5 * 6 * 6)])
def test_the_count_of_a_field_is_how_many_numbers_its_mean_is_taken_over(fourier: bool, count: int):
    assert count_of_field(torch.zeros(5, SIZE * FIELDS, 6, 6), FIELDS, fourier) == count


def test_variances_are_precise_when_means_are_large():
    # a sum of squares less a squared mean would be off by far more
    x: Tensor = torch.randn(16, SIZE * FIELDS, 8, 8) + 1000
    variances, means = torch.var_mean(x, (0, 2, 3), correction=0)
    _, variance = of_fields(means, variances, SIZE, False)
    exact = x.double().unflatten(1, (SIZE, FIELDS)).var((0, 1, 3, 4), correction=0)
    torch.testing.assert_close(variance.double(), exact, atol=0, rtol=1e-3)


@pytest.mark.parametrize("fields", [1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_repeated_numbers_are_contiguous(fields: int, size: int):
    """As torch's kernels take for granted without a look at the strides."""
    found = repeated(torch.randn(fields), size)
    assert found.stride() == (1,)
