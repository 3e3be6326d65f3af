from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.metrics import log_loss

from eqssl.evaluation.softmax import softmax_loss

RANDOM = np.random.default_rng(0)
INPUTS = np.hstack([RANDOM.standard_normal((30, 5)), np.ones((30, 1))])
LABELS = RANDOM.integers(4, size=30)
FLAT = RANDOM.standard_normal(4 * 6)


def test_the_loss_is_the_mean_cross_entropy_and_the_penalty_without_biases():
    scores = INPUTS @ FLAT.reshape(4, 6).T
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    penalty = 0.3 / 2 * (FLAT.reshape(4, 6)[:, :-1] ** 2).sum()
    loss, _ = softmax_loss(FLAT, INPUTS, LABELS, 0.3)
    assert loss == pytest.approx(log_loss(LABELS, shares, labels=range(4)) + penalty)


def test_the_gradient_is_that_of_the_loss():
    _, gradient = softmax_loss(FLAT, INPUTS, LABELS, 0.3)
    numeric = approx_fprime(FLAT, lambda flat: softmax_loss(flat, INPUTS, LABELS, 0.3)[0])
    assert np.allclose(gradient, numeric, atol=1e-6)


def test_large_scores_do_not_overflow():
    loss, gradient = softmax_loss(1e4 * FLAT, INPUTS.astype(np.float32), LABELS, 0.0)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_arguments_stay_as_they_are():
    flat, inputs = FLAT.copy(), INPUTS.copy()
    softmax_loss(flat, inputs, LABELS, 0.3)
    assert np.array_equal(flat, FLAT)
    assert np.array_equal(inputs, INPUTS)
