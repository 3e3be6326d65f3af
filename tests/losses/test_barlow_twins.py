import pytest
import torch
from slow_pairs import (
    GROUPS,
    KINDS,
    assert_bad_arguments_are_refused,
    assert_same_with_gradients,
    embeddings,
    slow_rows,
    turn_each,
)

from eqssl.losses import BarlowTwinsLoss, barlow_twins
from eqssl.symmetry import group


def standardised(rows: list[torch.Tensor], i: int) -> list[torch.Tensor]:
    values = [row[i] for row in rows]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return [(value - mean) / torch.sqrt(variance + 1e-5) for value in values]


def slow_barlow_twins(z1, z2, name, kind, tau, off_diagonal, scale):
    first, second = slow_rows(z1, z2, group(name), kind, tau)
    features, total = range(len(first[0])), 0.0
    for i in features:
        for j in features:
            pairs = zip(standardised(first, i), standardised(second, j), strict=True)
            correlation = sum(a * b for a, b in pairs) / len(first)
            total = total + ((1 - correlation) ** 2 if i == j else off_diagonal * correlation**2)
    return scale * total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    assert_same_with_gradients(
        lambda a, b: barlow_twins(a, b, group(name), kind, 0.3, 0.01, 0.5),
        lambda a, b: slow_barlow_twins(a, b, name, kind, 0.3, 0.01, 0.5),
        embeddings(3, name, 1, fields=2),
        embeddings(3, name, 2, fields=2),
    )


def test_the_plain_loss_is_the_published_one():
    # 2103.03230, algorithm 1, standardised by a batch norm as in the authors' code
    z1, z2 = embeddings(16, "D4", 1), embeddings(16, "D4", 2)
    norm = torch.nn.BatchNorm1d(24, affine=False, dtype=torch.float64)
    c = norm(z1.flatten(1)).T @ norm(z2.flatten(1)) / 16
    difference = (c - torch.eye(24, dtype=torch.float64)).pow(2)
    difference[~torch.eye(24, dtype=torch.bool)] *= 0.0051
    torch.testing.assert_close(barlow_twins(z1, z2, group("D4"), None), difference.sum())


def test_a_field_that_is_zero_everywhere_has_a_finite_gradient():
    z1, z2 = embeddings(4, "C4", 1), embeddings(4, "C4", 2)
    z1[:, 0] = 0
    z1.requires_grad_()
    barlow_twins(z1, z2, group("C4")).backward()
    assert torch.isfinite(z1.grad).all()


def test_turned_copies_have_a_loss_of_the_diagonal_near_zero():
    z = embeddings(32, "D4", 1)
    found = barlow_twins(z, turn_each(z, "D4", 2), group("D4"), off_diagonal=1e-9)
    assert float(found) < 1e-4


def test_the_module_is_the_function():
    z1, z2 = embeddings(4, "C4", 1), embeddings(4, "C4", 2)
    loss = BarlowTwinsLoss(group("C4"), "softmax", temperature=0.5, off_diagonal=0.1, scale=0.1)
    assert torch.equal(loss(z1, z2), barlow_twins(z1, z2, group("C4"), "softmax", 0.5, 0.1, 0.1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"z1": torch.randn(1, 3, 4), "z2": torch.randn(1, 3, 4)}, "z1: .* at least two"),
        ({"temperature": 0.0}, "temperature: given 0.0, allowed: a positive number"),
        ({"off_diagonal": -1.0}, "off_diagonal: given -1.0, allowed: a positive number"),
        ({"scale": 0.0}, "scale: given 0.0, allowed: a positive number"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2 = torch.randn(2, 4, 3, 4)
    assert_bad_arguments_are_refused(barlow_twins, {"z1": z1, "z2": z2, "G": group("C4")}, change, reason)
