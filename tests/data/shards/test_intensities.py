"""Percentiles of intensities over all training images: exact, in bounded memory, in any order."""

import pickle
import tracemalloc

import numpy as np
import pytest

from eqssl.data.shards.intensities import Histogram, percentile_range, rescaled

RANDOM = np.random.default_rng(0)
PAIRS = [(0.0, 100.0), (1.0, 99.0), (0.1, 99.9), (33.3, 66.6), (50.0, 51.0), (2.0, 99.99)]


def images(kind, count=7):
    values = RANDOM.normal(3000, 500, (count, 9, 11, 2))
    return (np.clip(values / 20, 0, 255) if kind == np.uint8 else values).astype(kind)


@pytest.mark.parametrize("percentiles", PAIRS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_percentiles_of_integers_are_exact(kind, percentiles):
    given = images(kind)
    expected = np.percentile(given, percentiles, method="inverted_cdf")
    assert percentile_range(iter(given), percentiles) == tuple(expected)


@pytest.mark.parametrize("percentiles", PAIRS)
@pytest.mark.parametrize("shift", [0, -3000, -10_000, 1e6])
def test_percentiles_of_floats_are_exact_to_one_part_in_32768(percentiles, shift):
    given = (images(np.float64) + shift).astype(np.float32)
    expected = np.percentile(given, percentiles, method="inverted_cdf").astype(float)
    found = np.array(percentile_range(iter(given), percentiles))
    assert (np.abs(found - expected) <= np.abs(expected) / 2**15).all()
    assert given.min() <= found[0] < found[1] <= given.max()


def test_extremes_of_floats_are_exact():
    given = images(np.float32)
    assert percentile_range(iter(given), (0, 100)) == (float(given.min()), float(given.max()))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_parts_and_order_do_not_matter(kind):
    given = images(kind)
    whole = percentile_range(iter(given), (5, 95))
    assert percentile_range(iter(given[::-1]), (5, 95)) == whole
    parts = [Histogram(), Histogram(), Histogram()]
    for i, image in enumerate(given):
        parts[i % 2].add(image)  # the third stays empty
    assert percentile_range(parts[::-1], (5, 95)) == whole
    sent = [pickle.loads(pickle.dumps(part)) for part in parts]  # noqa: S301
    assert percentile_range(sent, (5, 95)) == whole
    assert len(pickle.dumps(parts[0])) < 200_000


def test_values_of_both_signs_and_both_zeros_are_in_order():
    given = np.array([[[-5.0], [-0.0], [0.0], [1e-40], [3.0]]], np.float32)
    assert percentile_range([given], (20, 100)) == (-5.0, 3.0)
    low, high = percentile_range([given], (40, 80))
    assert low == 0
    assert 0 < high <= 1e-40
    low, high = percentile_range([given], (1, 41))
    assert (low, high) == (-5.0, 0.0)


def test_memory_is_bounded_whatever_the_number_of_images():
    tracemalloc.start()
    percentile_range((images(np.float32, 1)[0] for _ in range(50)), (1, 99))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 * 2**28


def test_what_cannot_be_measured_is_an_error():
    with pytest.raises(ValueError, match="range: there are no training images"):
        percentile_range([], (1, 99))
    with pytest.raises(ValueError, match="are both 7"):
        percentile_range([np.full((9, 9, 1), 7, np.uint16)], (1, 99))
    with pytest.raises(ValueError, match="cannot be measured together"):
        percentile_range([images(np.uint16)[0], images(np.float32)[0]], (1, 99))


def test_rescaled_rounds_and_cuts_off():
    image = np.array([[[0], [10], [15], [20], [30]]], np.uint16)
    assert rescaled(image, (10, 20)).ravel().tolist() == [0, 0, 32768, 65535, 65535]
    assert rescaled(image.astype(np.uint8), (10, 20)).ravel().tolist() == [0, 0, 128, 255, 255]
    far = np.array([[[-3e38], [3e38]]], np.float32)
    assert rescaled(far, (-1e38, 1e38)).ravel().tolist() == [0, 65535]
