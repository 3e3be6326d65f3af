from __future__ import annotations

import numpy as np
import pytest

from eqssl.evaluation import intervals
from eqssl.evaluation.intervals import accuracy_intervals, bin_intervals


def correct(draws, images, p, seed=0):
    return np.random.default_rng(seed).random((draws, images)) < p


def stream(seed, number):
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def slow(metrics, resamples, seed):
    """Compute intervals image by image and draw by draw."""
    images = metrics[0].shape[1]
    of_images = stream(seed, 0)
    chosen_images = [of_images.integers(images, size=images) for _ in range(resamples)]
    ends = []
    for values in metrics:
        draws = len(values)
        of_draws = stream(seed, draws)
        accuracies = []
        for resample in range(resamples):
            total = 0
            for draw in of_draws.integers(draws, size=draws):
                for image in chosen_images[resample]:
                    total += int(values[draw, image])
            accuracies.append(total / (draws * images))
        ordered = sorted(accuracies)
        ends.append([np.percentile(ordered, 2.5), np.percentile(ordered, 97.5)])
    return np.array(ends)


@pytest.mark.parametrize("block", [100_000, 90])
def test_intervals_equal_those_of_a_slow_loop(monkeypatch, block):
    monkeypatch.setattr(intervals, "_BLOCK_NUMBERS", block)
    metrics = [correct(1, 40, 0.7), correct(3, 40, 0.5, 1), correct(1, 40, 0.2, 2), correct(5, 40, 0.9, 3)]
    assert np.allclose(accuracy_intervals(metrics, 120, 5), slow(metrics, 120, 5), atol=1e-12)


def test_the_width_of_an_interval_is_that_of_the_binomial():
    values = correct(1, 4000, 0.8)
    low, high = accuracy_intervals([values], 4000, 0)[0]
    p = values.mean()
    assert low < p < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / 4000), rel=0.06)


def test_intervals_of_all_metrics_share_their_resamples():
    values = correct(1, 500, 0.6)
    first, same, opposite = accuracy_intervals([values, values, ~values], 500, 0)
    assert first.tolist() == same.tolist()
    # the same resamples: what one gains the other loses
    assert opposite.tolist() == pytest.approx([1 - first[1], 1 - first[0]])


def test_draws_that_differ_widen_the_interval():
    rows = [correct(1, 2000, p, 1)[0] for p in (0.5, 0.55, 0.6, 0.65, 0.7)]
    different, alike = accuracy_intervals([np.stack(rows), np.stack([rows[2]] * 5)], 1000, 0)
    assert different[1] - different[0] > 2 * (alike[1] - alike[0])
    assert alike.tolist() == pytest.approx(accuracy_intervals([rows[2][None]], 1000, 0)[0].tolist())


def test_intervals_depend_on_their_seed_alone():
    values = [correct(2, 300, 0.6)]
    assert np.array_equal(accuracy_intervals(values, 200, 1), accuracy_intervals(values, 200, 1))
    assert not np.array_equal(accuracy_intervals(values, 200, 1), accuracy_intervals(values, 200, 2))


def test_bins_are_ratios_over_the_same_resamples():
    values = correct(1, 60, 0.6)[0]
    bins = np.arange(60) % 3 == np.arange(3)[:, None]
    bins[2, 3:] = False  # one image: some resamples leave it out
    ends = bin_intervals(values, bins, 150, 9)
    random = stream(9, 0)
    accuracies: list[list[float]] = [[], [], []]
    for _ in range(150):
        chosen = random.integers(60, size=60)
        for number, members in enumerate(bins):
            inside = [image for image in chosen if members[image]]
            if inside:
                accuracies[number].append(sum(values[image] for image in inside) / len(inside))
    for number in range(3):
        assert ends[number] == pytest.approx(np.percentile(accuracies[number], [2.5, 97.5]), abs=1e-12)
    assert len(accuracies[2]) < 150
