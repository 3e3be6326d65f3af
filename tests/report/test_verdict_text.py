"""Differences and verdicts in words."""

import math

import pytest

from eqssl.evaluation.claims import Pair, Verdict
from eqssl.evaluation.paired import Difference
from eqssl.report.verdict_text import chance, decided, interval, points, sentence


def difference(low, mean, high, seeds=(0.01, 0.02), images=100):
    return Difference(mean, low, high, 0.01, 0.5, seeds, images)


def verdict(answer, of, reason="corrected p 0.010"):
    pairs = (Pair("a", ("C4", "x"), ("C4", "y"), of), Pair("b", ("D4", "x"), ("D4", "y"), of))
    return Verdict("key", "x beats y", answer, reason, "acc_stored_100", of, 0.01, pairs, {})


def test_a_sentence_has_answer_claim_difference_interval_seeds_and_pairs():
    text = sentence(verdict("yes", difference(0.004, 0.0071, 0.0102, (0.01, 0.02, -0.01))))
    assert text == (
        "Yes: x beats y. +0.7 points (95 % interval +0.4 to +1.0), 3 seeds, 2 of them with this sign, "
        "2 pairs of cells; corrected p 0.010."
    )


def test_one_seed_is_said_to_be_over_test_images_alone():
    text = sentence(verdict("not tested", difference(-0.02, -0.01, 0.0, (-0.01,))))
    assert text.startswith("Not tested: x beats y. \N{MINUS SIGN}1.0 points (95 % interval")
    assert "over test images alone" in text
    assert "seeds were not repeated" in text
    unknown = difference(-math.inf, 0.01, math.inf, (0.01,), None)
    assert "(no interval is known)" in sentence(verdict("not tested", unknown))
    assert interval(unknown) == ""


@pytest.mark.parametrize(
    ("low", "high", "seeds", "expected"),
    [
        (0.001, 0.02, (0.01, 0.01), True),
        (-0.02, -0.001, (-0.01, -0.01), True),
        (-0.001, 0.02, (0.01, 0.01), False),
        (0.0, 0.02, (0.01, 0.01), False),
        (0.001, 0.02, (0.01,), False),  # an interval over images says nothing of another training
    ],
)
def test_a_difference_is_decided_if_zero_is_outside_of_an_interval_over_seeds(low, high, seeds, expected):
    d = difference(low, (low + high) / 2, high, seeds)
    assert decided(d) is expected
    assert ("more than chance" in chance(d)) is expected


def test_points_have_a_sign_and_no_negative_zero():
    assert [points(x) for x in (0.0149, -0.2, -0.0001, 0.0)] == ["+1.5", "\N{MINUS SIGN}20.0", "0.0", "0.0"]
