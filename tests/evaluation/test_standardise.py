from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from eqssl.evaluation.standardise import Standardiser


@pytest.mark.parametrize("offset", [0.0, 5.0, 300.0])
def test_it_is_scikit_learns_scaler_to_the_last_bit(offset):
    random = np.random.default_rng(0)
    x = (random.standard_normal((500, 40)) * np.geomspace(1e-2, 1e2, 40) + offset).astype(np.float32)
    other = x[:100] + random.standard_normal((100, 40)).astype(np.float32)
    ours, reference = Standardiser.fit(x), StandardScaler().fit(x)
    for values in (x, other):
        assert np.array_equal(ours(values), reference.transform(values))
        assert ours(values).dtype == np.float32


def test_a_feature_that_hardly_varies_becomes_zero():
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    x[:, 1] = 7.0
    x[:, 2] = 7.0 + 1e-7 * x[:, 0]
    scaled = Standardiser.fit(x)(x)
    assert np.array_equal(scaled[:, 1:], np.zeros((50, 2)))
    assert scaled[:, 0].std() == pytest.approx(1, abs=1e-5)
