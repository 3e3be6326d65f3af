import pytest
import torch
import torch.nn.functional as F
from slow_pairs import (
    GROUPS,
    KINDS,
    assert_bad_arguments_are_refused,
    assert_same_with_gradients,
    embeddings,
    slow_rows,
    turn_each,
)

from eqssl.losses import VICRegLoss, vicreg
from eqssl.symmetry import group


def covariance(rows: list[torch.Tensor], i: int, j: int) -> torch.Tensor:
    means = sum(row[i] for row in rows) / len(rows), sum(row[j] for row in rows) / len(rows)
    return sum((row[i] - means[0]) * (row[j] - means[1]) for row in rows) / (len(rows) - 1)


def slow_vicreg(z1, z2, name, kind, tau, invariance, variance, covariances):
    first, second = slow_rows(z1, z2, group(name), kind, tau)
    features = range(len(first[0]))
    pairs = [(a[i], b[i]) for a, b in zip(first, second, strict=True) for i in features]
    total = invariance * sum((a - b) ** 2 for a, b in pairs) / len(pairs)
    for rows in (first, second):
        for i in features:
            hinge = torch.clamp(1 - torch.sqrt(covariance(rows, i, i) + 1e-4), min=0)
            squares = sum(covariance(rows, i, j) ** 2 for j in features if j != i)
            total = total + (variance * hinge + covariances * squares) / len(features)
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    assert_same_with_gradients(
        lambda a, b: vicreg(a, b, group(name), kind, 0.3, 20.0, 15.0, 2.0),
        lambda a, b: slow_vicreg(a, b, name, kind, 0.3, 20.0, 15.0, 2.0),
        # some standard deviations below one and some above
        embeddings(3, name, 1, fields=2),
        embeddings(3, name, 2, fields=2) * 0.7,
    )


def test_the_plain_loss_is_the_published_one():
    # 2105.04906, algorithm 1
    a, b = embeddings(16, "D4", 1), embeddings(16, "D4", 2)
    expected = 25 * F.mse_loss(a, b)
    for z in (a.flatten(1), b.flatten(1)):
        expected += 25 * F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean()
        covariances = torch.cov(z.t())
        covariances[torch.eye(24, dtype=torch.bool)] = 0
        expected += covariances.pow(2).sum() / 24
    torch.testing.assert_close(vicreg(a, b, group("D4"), None), expected)


def test_the_distance_of_turned_copies_is_zero_and_its_weight_does_not_depend_on_the_group():
    z, noise = embeddings(32, "D4", 1), 0.01 * embeddings(32, "D4", 2)
    weights = {"variance": 0.0, "covariance": 0.0}
    assert float(vicreg(turn_each(z, "D4", 3), z, group("D4"), **weights)) < 1e-20
    plain = vicreg(z, z + noise, group("D4"), None, **weights)
    torch.testing.assert_close(vicreg(z, z + noise, group("D4"), **weights), plain)


def test_equal_embeddings_have_a_finite_gradient():
    z = torch.ones(4, 3, 4, requires_grad=True)
    vicreg(z, z.detach(), group("C4")).backward()
    assert torch.isfinite(z.grad).all()


def test_the_module_is_the_function():
    z1, z2 = embeddings(4, "C4", 1), embeddings(4, "C4", 2)
    loss = VICRegLoss(group("C4"), "softmax", temperature=0.5, invariance=1.0)
    assert torch.equal(loss(z1, z2), vicreg(z1, z2, group("C4"), "softmax", 0.5, invariance=1.0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"z1": torch.randn(1, 3, 4), "z2": torch.randn(1, 3, 4)}, "z1: .* at least two"),
        ({"temperature": 0.0}, "temperature: given 0.0, allowed: a positive number"),
        ({"invariance": -1.0}, "invariance: given -1.0, allowed: zero or a positive number"),
        ({"variance": -1.0}, "variance: given -1.0, allowed"),
        ({"covariance": -1.0}, "covariance: given -1.0, allowed"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2 = torch.randn(2, 4, 3, 4)
    assert_bad_arguments_are_refused(vicreg, {"z1": z1, "z2": z2, "G": group("C4")}, change, reason)
