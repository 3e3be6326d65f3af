import pytest
from scipy import stats

from eqssl.report.estimates import Estimate, over_seeds


def test_one_seed_keeps_its_own_interval():
    estimate = Estimate(0.7, 0.68, 0.73)
    assert over_seeds([estimate]) is estimate
    assert estimate.half_width == pytest.approx(0.025)


@pytest.mark.parametrize("values", [[0.6, 0.7], [0.61, 0.62, 0.66], [0.5, 0.5, 0.5, 0.5, 0.6]])
def test_several_seeds_give_students_interval(values):
    joined = over_seeds([Estimate(value, value - 0.01, value + 0.01) for value in values])
    low, high = stats.t.interval(0.95, len(values) - 1, loc=stats.tmean(values), scale=stats.sem(values))
    assert (joined.lo, joined.hi) == pytest.approx((low, high))
    assert joined.seeds == len(values)


def test_no_seed_is_an_error():
    with pytest.raises(ValueError, match="no estimates"):
        over_seeds([])


@pytest.mark.parametrize(
    ("left", "right", "apart"),
    [
        (Estimate(0.5, 0.4, 0.6), Estimate(0.7, 0.61, 0.8), True),
        (Estimate(0.7, 0.61, 0.8), Estimate(0.5, 0.4, 0.6), True),
        (Estimate(0.5, 0.4, 0.6), Estimate(0.7, 0.6, 0.8), False),
        (Estimate(0.5), Estimate(0.7, 0.6, 0.8), None),
    ],
)
def test_intervals_are_apart_when_they_share_no_point(left, right, apart):
    assert left.apart(right) is apart
