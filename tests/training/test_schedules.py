import numpy as np
import pytest

from eqssl.training.schedules import learning_rate


def test_warmup_is_linear_and_then_comes_a_cosine_to_zero():
    given = np.array([learning_rate(step, 100, 10, 0.5) for step in range(101)])
    warmup = 0.5 * np.arange(1, 11) / 10
    cosine = 0.5 * np.cos(np.pi / 2 * np.arange(91) / 90) ** 2  # half-angle form of (1 + cos x) / 2
    assert given == pytest.approx(np.concatenate([warmup, cosine]), abs=1e-15)
    assert given.max() == 0.5
    assert given[100] == 0.0


def test_without_warmup_the_peak_comes_first():
    assert learning_rate(0, 7, 0, 0.3) == 0.3
    assert learning_rate(7, 7, 0, 0.3) == 0.0
    assert learning_rate(8, 7, 0, 0.3) == 0.0


def test_warmup_may_fill_the_whole_run():
    assert [learning_rate(step, 4, 4, 1.0) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 0.0]


@pytest.mark.parametrize(("step", "steps", "warmup"), [(-1, 10, 1), (0, 10, 11), (0, 10, -1)])
def test_numbers_out_of_range_are_refused(step, steps, warmup):
    with pytest.raises(ValueError, match="warm-up"):
        learning_rate(step, steps, warmup, 0.1)
