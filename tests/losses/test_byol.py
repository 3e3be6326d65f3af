import pytest
import torch
import torch.nn.functional as F
from slow_pairs import (
    GROUPS,
    KINDS,
    assert_bad_arguments_are_refused,
    assert_same_with_gradients,
    embeddings,
    slow_similarity,
)

from eqssl.losses import BYOLLoss, byol
from eqssl.symmetry import group


def slow_byol(z1, z2, name, kind, tau):
    G = group(name)
    terms = [2 - 2 * slow_similarity(p, z.detach(), G, kind, tau) for p, z in zip(z1, z2, strict=True)]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    assert_same_with_gradients(
        lambda a, b: byol(a, b, group(name), kind, 0.3),
        lambda a, b: slow_byol(a, b, name, kind, 0.3),
        embeddings(4, name, 1),
        embeddings(4, name, 2),
    )


def test_the_plain_loss_is_the_published_one():
    z1, z2 = embeddings(5, "D4", 1), embeddings(5, "D4", 2)
    # 2006.07733, equation 2: the squared distance of the normalised vectors
    p, z = (F.normalize(one.flatten(1), dim=1) for one in (z1, z2))
    expected = (p - z).square().sum(1).mean()
    torch.testing.assert_close(byol(z1, z2, group("D4"), None), expected)


def test_the_module_is_the_function():
    z1, z2 = embeddings(4, "C4", 1), embeddings(4, "C4", 2)
    loss = BYOLLoss(group("C4"), "softmax", temperature=0.5)
    assert torch.equal(loss(z1, z2), byol(z1, z2, group("C4"), "softmax", 0.5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"z1": torch.randn(0, 3, 4), "z2": torch.randn(0, 3, 4)}, "z1: .* at least one"),
        ({"temperature": 0.0}, "temperature: given 0.0, allowed: a positive number"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2 = torch.randn(2, 4, 3, 4)
    assert_bad_arguments_are_refused(byol, {"z1": z1, "z2": z2, "G": group("C4")}, change, reason)
