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

from eqssl.losses import MoCoV3Loss, moco_v3
from eqssl.symmetry import group


def slow_moco_v3(z1, z2, name, kind, t):
    G, total = group(name), 0.0
    for i, query in enumerate(z1):
        terms = [(slow_similarity(query, key.detach(), G, kind, t) / t).exp() for key in z2]
        total = total - 2 * t * torch.log(terms[i] / sum(terms))
    return total / len(z1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    assert_same_with_gradients(
        lambda a, b: moco_v3(a, b, group(name), kind, 0.3),
        lambda a, b: slow_moco_v3(a, b, name, kind, 0.3),
        embeddings(4, name, 1),
        embeddings(4, name, 2),
    )


def test_the_plain_loss_is_the_published_one():
    # 2104.02057, algorithm 1: ctr(q, k)
    z1, z2 = embeddings(5, "D4", 1), embeddings(5, "D4", 2)
    logits = F.normalize(z1.flatten(1), dim=1) @ F.normalize(z2.flatten(1), dim=1).t() / 0.2
    expected = 2 * 0.2 * F.cross_entropy(logits, torch.arange(5))
    torch.testing.assert_close(moco_v3(z1, z2, group("D4"), None, 0.2), expected)


def test_the_module_is_the_function():
    z1, z2 = embeddings(4, "C4", 1), embeddings(4, "C4", 2)
    loss = MoCoV3Loss(group("C4"), "softmax", temperature=0.5)
    assert torch.equal(loss(z1, z2), moco_v3(z1, z2, group("C4"), "softmax", 0.5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"z1": torch.randn(1, 3, 4), "z2": torch.randn(1, 3, 4)}, "z1: .* at least two"),
        ({"temperature": -1.0}, "temperature: given -1.0, allowed: a positive number"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2 = torch.randn(2, 4, 3, 4)
    assert_bad_arguments_are_refused(moco_v3, {"z1": z1, "z2": z2, "G": group("C4")}, change, reason)
