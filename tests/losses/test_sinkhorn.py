import math

import pytest
import torch

from eqssl.losses import sinkhorn


def scores(n: int, prototypes: int, dtype=torch.float64) -> torch.Tensor:
    return torch.rand(n, prototypes, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )


def slow_sinkhorn(table: list[list[float]], epsilon: float, iterations: int) -> list[list[float]]:
    """2006.09882, appendix A: rows are images and columns prototypes."""
    q = [[math.exp(score / epsilon) for score in row] for row in table]
    n, prototypes = len(q), len(q[0])
    for _ in range(iterations):
        for k in range(prototypes):
            total = sum(row[k] for row in q)
            for row in q:
                row[k] /= total * prototypes
        for row in q:
            total = sum(row)
            row[:] = [entry / (total * n) for entry in row]
    return [[entry * n for entry in row] for row in q]


@pytest.mark.parametrize("iterations", [1, 3, 20])
@pytest.mark.parametrize(("n", "prototypes"), [(6, 4), (4, 6), (1, 3), (5, 1)])
def test_codes_equal_those_of_a_slow_loop(n: int, prototypes: int, iterations: int):
    found = sinkhorn(scores(n, prototypes), 0.1, iterations)
    expected = slow_sinkhorn(scores(n, prototypes).tolist(), 0.1, iterations)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("n", "prototypes"), [(12, 4), (5, 9)])
def test_each_image_has_a_distribution_and_in_the_limit_prototypes_are_used_equally(n: int, prototypes: int):
    few, many = (sinkhorn(scores(n, prototypes), 0.05, iterations) for iterations in (3, 3000))
    for codes in (few, many):
        torch.testing.assert_close(codes.sum(1), torch.ones(n, dtype=torch.float64))
    used = torch.full((prototypes,), n / prototypes, dtype=torch.float64)
    torch.testing.assert_close(many.sum(0), used, rtol=1e-6, atol=0.0)
    first = sinkhorn(scores(n, prototypes), 0.05, 1)
    assert (few.sum(0) - used).abs().max() < (first.sum(0) - used).abs().max()


def test_without_balance_one_prototype_would_take_all_images():
    better = torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.7, 0.1], [0.6, 0.1]])
    assert better.argmax(1).tolist() == [0, 0, 0, 0]
    assert sinkhorn(better, 0.05, 100).argmax(1).tolist() == [0, 0, 1, 1]


def test_a_small_epsilon_gives_finite_codes():
    # exp(1 / 0.001) is no number
    codes = sinkhorn(scores(8, 4, torch.float32), 0.001, 3)
    assert torch.isfinite(codes).all()
    torch.testing.assert_close(codes.sum(1), torch.ones(8))
    assert codes.max() > 0.99


def test_a_constant_added_to_the_scores_changes_nothing():
    table = scores(8, 4)
    torch.testing.assert_close(sinkhorn(table + 3), sinkhorn(table))


def test_codes_are_float32_at_least_and_have_no_gradient():
    table = scores(8, 4, torch.float32)
    low = table.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        codes = sinkhorn(low.requires_grad_())
    assert codes.dtype == torch.float32
    assert not codes.requires_grad
    assert torch.equal(codes, sinkhorn(low.detach().float()))
    assert sinkhorn(scores(8, 4)).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scores": torch.rand(4)}, r"scores: given shape \(4,\), allowed: \(batch, prototypes\)"),
        ({"scores": torch.rand(0, 4)}, r"scores: given shape \(0, 4\)"),
        ({"epsilon": 0.0}, "epsilon: given 0.0, allowed: a positive number"),
        ({"iterations": 0}, "iterations: given 0, allowed: a positive number"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    with pytest.raises(ValueError, match=reason):
        sinkhorn(**{"scores": torch.rand(8, 4), **change})
