from __future__ import annotations

import numpy as np
import pytest

from eqssl.evaluation.draws import nested_draws

CLASSES = ("ant", "bee", "cat", "dog")


def labels(each=250, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(4), each))


def test_draws_are_balanced_nested_and_differ():
    y = labels()
    drawn = nested_draws(y, (1, 10, 50), 5, CLASSES, seed=3)
    for share, each in ((1, 2), (10, 25), (50, 125)):
        assert len(drawn[share]) == 5
        for rows in drawn[share]:
            assert np.bincount(y[rows]).tolist() == [each] * 4
            assert len(set(rows.tolist())) == 4 * each
    for draw in range(5):
        small, medium, large = (set(drawn[share][draw].tolist()) for share in (1, 10, 50))
        assert small < medium < large
    assert len({tuple(rows) for rows in drawn[10]}) == 5


def test_every_class_gets_an_image_however_small_the_share():
    y = labels(each=5)
    assert np.bincount(y[nested_draws(y, (1,), 1, CLASSES, 0)[1][0]]).tolist() == [1] * 4


def test_a_draw_depends_on_seed_and_number_alone():
    y = labels()
    few = nested_draws(y, (10,), 2, CLASSES, 7)[10]
    many = nested_draws(y, (1, 10), 4, CLASSES, 7)[10]
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=False))
    assert not np.array_equal(few[0], nested_draws(y, (10,), 1, CLASSES, 8)[10][0])


def test_images_of_a_class_are_equally_likely():
    y = np.repeat(np.arange(4), 20)
    drawn = nested_draws(y, (25,), 400, CLASSES, 0)[25]
    counts = np.bincount(np.concatenate(drawn), minlength=80)
    # each is drawn with probability 1/4: mean 100, deviation 8.7
    assert counts.min() > 65
    assert counts.max() < 135


def test_a_class_with_too_few_images_is_named():
    y = np.concatenate([labels(), np.zeros(2000, int)])
    with pytest.raises(ValueError, match=r"class 'bee' has 250 training images, .*50 %.* takes 375"):
        nested_draws(y, (1, 50), 2, CLASSES, 0)
