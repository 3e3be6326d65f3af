"""Paired differences: intervals cover, and p-values are uniform under no difference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, kstest, t, ttest_1samp

from eqssl.evaluation.paired import (
    hierarchical_bootstrap,
    holm,
    paired_difference,
    seed_difference,
    sign_flip,
)


def simulated(random, seeds=5, images=300, mean=0.02, of_seed=0.01, of_image=0.3, rest=0.4):
    """A table of differences with known random effects."""
    return (
        mean
        + of_seed * random.standard_normal((seeds, 1))
        + of_image * random.standard_normal((1, images))
        + rest * random.standard_normal((seeds, images))
    )


def test_without_an_effect_of_images_it_is_the_paired_t_test_over_seeds():
    random = np.random.default_rng(0)
    of_seed = random.standard_normal(5)
    found = paired_difference(np.repeat(of_seed[:, None], 50, axis=1))
    expected = ttest_1samp(of_seed, 0)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert seed_difference(of_seed)[:5] == pytest.approx(found[:5])


def test_with_one_seed_it_is_the_paired_t_test_over_images():
    row = np.random.default_rng(1).integers(-1, 2, 400).astype(float)
    expected = ttest_1samp(row, 0)
    found = paired_difference(row[None])
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert (found.seeds, found.images, found.sign_flip) == ((row.mean(),), 400, 1.0)


def test_the_variance_is_that_of_a_loop_over_seeds_and_images():
    table = simulated(np.random.default_rng(2), seeds=4, images=30)
    seeds, images = table.shape
    grand = sum(table[s][i] for s in range(seeds) for i in range(images)) / (seeds * images)
    of_seed = [sum(table[s]) / images for s in range(seeds)]
    of_image = [sum(table[s][i] for s in range(seeds)) / seeds for i in range(images)]
    v_seed = sum((m - grand) ** 2 for m in of_seed) / (seeds - 1) / seeds
    v_image = sum((m - grand) ** 2 for m in of_image) / (images - 1) / images
    rest = sum(
        (table[s][i] - of_seed[s] - of_image[i] + grand) ** 2 for s in range(seeds) for i in range(images)
    )
    v_rest = rest / ((seeds - 1) * (images - 1)) / (seeds * images)
    total = max(v_seed + v_image - v_rest, v_seed, v_image)
    freedom = total**2 / (
        v_seed**2 / (seeds - 1) + v_image**2 / (images - 1) + v_rest**2 / ((seeds - 1) * (images - 1))
    )
    found = paired_difference(table)
    assert found.mean == pytest.approx(grand)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, freedom) * total**0.5)


@pytest.mark.parametrize(
    "effects",
    [
        {"of_seed": 0.01, "of_image": 0.3},
        {"of_seed": 0.05, "of_image": 0.1},
        {"of_seed": 0.03, "of_image": 0.5, "seeds": 3},
    ],
)
def test_intervals_cover_a_known_difference_93_to_97_times_of_100(effects):
    random = np.random.default_rng(3)
    trials = 3000
    inside = 0
    for _ in range(trials):
        found = paired_difference(simulated(random, mean=0.02, **effects))
        inside += found.low <= 0.02 <= found.high
    assert 0.93 <= inside / trials <= 0.97, inside / trials


def test_the_control_fails_an_interval_over_images_alone_covers_too_little():
    random = np.random.default_rng(4)
    inside = 0
    for _ in range(400):
        table = simulated(random, of_seed=0.05, of_image=0.1)
        found = paired_difference(table.mean(axis=0, keepdims=True))  # takes the seeds for given
        inside += found.low <= 0.02 <= found.high
    assert inside / 400 < 0.85


def test_the_hierarchical_bootstrap_covers_with_many_seeds_and_too_little_with_five():
    random = np.random.default_rng(5)
    for seeds, low, high in ((40, 0.91, 0.99), (5, 0.70, 0.92)):
        inside = 0
        for trial in range(200):
            table = simulated(random, seeds=seeds, images=100, of_seed=0.1, of_image=0.1, rest=0.2)
            ends = hierarchical_bootstrap(table, 400, trial)
            inside += ends[0] <= 0.02 <= ends[1]
        assert low <= inside / 200 <= high, (seeds, inside / 200)


def test_p_values_are_uniform_under_no_difference():
    random = np.random.default_rng(6)
    tables = [simulated(random, mean=0.0, of_seed=0.05, of_image=0.1) for _ in range(2000)]
    found = [paired_difference(table).p for table in tables]
    assert kstest(found, "uniform").pvalue > 0.01
    below = sum(p <= 0.05 for p in found)
    assert binomtest(below, len(found), 0.05).pvalue > 0.01
    shifted = [paired_difference(table + 0.1).p for table in tables[:300]]
    assert kstest(shifted, "uniform").pvalue < 1e-6  # the control


def test_exact_sign_flips_are_uniform_on_their_steps_under_no_difference():
    random = np.random.default_rng(7)
    found = np.array([sign_flip(random.standard_normal(5)) for _ in range(400)])
    steps = np.arange(1, 17) / 16
    assert set(np.round(found * 16).astype(int)) <= set(range(1, 17))
    for step in steps:
        assert binomtest(int((found <= step + 1e-9).sum()), len(found), step).pvalue > 1e-4


def test_a_sign_flip_is_that_of_a_loop_over_all_signs():
    values = [0.3, -0.1, 0.4, 0.2]
    mean = abs(sum(values))
    signs = list(itertools.product((1, -1), repeat=4))
    right = sum(abs(sum(s * v for s, v in zip(sign, values, strict=True))) >= mean - 1e-12 for sign in signs)
    assert sign_flip(values) == pytest.approx(right / 16)
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)


def test_holm_is_the_step_down_of_its_definition():
    random = np.random.default_rng(8)
    for _ in range(50):
        values = list(random.random(6) ** 3)
        left, level, expected = sorted(values), 0.0, {}
        for step, value in enumerate(left):
            level = max(level, min(1.0, (len(left) - step) * value))
            expected[value] = level
        assert holm(values) == pytest.approx([expected[value] for value in values])
    assert holm([]) == []


def test_no_difference_at_all_is_not_one():
    found = paired_difference(np.zeros((3, 10)))
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1.0)
    assert seed_difference([0.5]).p is None


@pytest.mark.parametrize("table", [np.zeros((0, 5)), np.zeros((2, 1)), np.full((2, 5), np.nan)])
def test_a_table_of_nothing_is_refused(table):
    with pytest.raises(ValueError, match="table: "):
        paired_difference(table)
