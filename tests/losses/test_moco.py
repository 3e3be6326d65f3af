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

from eqssl.losses import MoCoLoss, moco
from eqssl.symmetry import group


def slow_moco(z1, z2, name, kind, t, queue=None):
    G, total = group(name), 0.0
    for i, query in enumerate(z1):
        negatives = queue if queue is not None else [key for j, key in enumerate(z2) if j != i]
        positive = slow_similarity(query, z2[i].detach(), G, kind, t) / t
        others = [slow_similarity(query, one.detach(), G, kind, t) / t for one in negatives]
        total = total - torch.log(positive.exp() / (positive.exp() + sum(other.exp() for other in others)))
    return total / len(z1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    z1, z2, queue = (embeddings(n, name, seed) for n, seed in ((3, 1), (3, 2), (4, 3)))
    assert_same_with_gradients(
        lambda a, b, q: moco(a, b, group(name), kind, 0.3, q),
        lambda a, b, q: slow_moco(a, b, name, kind, 0.3, q),
        z1,
        z2,
        queue,
    )
    assert_same_with_gradients(
        lambda a, b: moco(a, b, group(name), kind, 0.3),
        lambda a, b: slow_moco(a, b, name, kind, 0.3),
        z1,
        z2,
    )


def test_the_plain_loss_is_the_published_one():
    # 1911.05722, algorithm 1: logits of the positive and of the queue, the positive is class 0
    z1, z2, queue = (embeddings(n, "D4", seed) for n, seed in ((5, 1), (5, 2), (7, 3)))
    q, k, u = (F.normalize(z.flatten(1), dim=1) for z in (z1, z2, queue))
    logits = torch.cat([torch.einsum("nc,nc->n", q, k)[:, None], q @ u.t()], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(moco(z1, z2, group("D4"), None, 0.2, queue), expected)


def test_the_module_is_the_function():
    z1, z2, queue = (embeddings(4, "C4", seed) for seed in (1, 2, 3))
    loss = MoCoLoss(group("C4"), "softmax", temperature=0.5)
    assert torch.equal(loss(z1, z2, queue=queue), moco(z1, z2, group("C4"), "softmax", 0.5, queue))
    assert repr(loss) == "MoCoLoss(C4, kind=softmax, temperature=0.5)"
    with pytest.raises(TypeError, match="temprature"):
        MoCoLoss(group("C4"), temprature=0.5)
    with pytest.raises(ValueError, match="kind: given 'min'"):
        MoCoLoss(group("C4"), "min")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"z1": torch.randn(1, 3, 4), "z2": torch.randn(1, 3, 4), "queue": None}, "z1: .* at least two"),
        ({"queue": torch.randn(5, 2, 4)}, r"queue: given shape \(5, 2, 4\), allowed: \(batch, 3, 4\)"),
        ({"queue": torch.randn(0, 3, 4)}, "queue: given 0 embeddings, allowed: at least one"),
        ({"temperature": 0.0}, "temperature: given 0.0, allowed: a positive number"),
        ({"temperature": float("nan")}, "temperature: given nan"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2 = torch.randn(2, 4, 3, 4)
    arguments = {"z1": z1, "z2": z2, "G": group("C4"), "queue": torch.randn(5, 3, 4)}
    assert_bad_arguments_are_refused(moco, arguments, change, reason)
