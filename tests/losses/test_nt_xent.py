import math

import pytest
import torch
from slow_pairs import GROUPS, KINDS, assert_same_with_gradients, embeddings, slow_similarity

from eqssl.losses import NTXent, nt_xent
from eqssl.symmetry import group


def slow_nt_xent(z1, z2, name, kind, t):
    """Pair after pair, from the definition."""
    z, n = [*z1, *z2], len(z1)
    total = 0.0
    for i in range(2 * n):
        scores = {k: slow_similarity(z[i], z[k], group(name), kind, t) / t for k in range(2 * n) if k != i}
        total -= scores[(i + n) % (2 * n)] - torch.log(sum(torch.exp(s) for s in scores.values()))
    return total / (2 * n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    z1, z2 = embeddings(2, name, 1), embeddings(2, name, 2)
    assert_same_with_gradients(
        lambda a, b: nt_xent(a, b, group(name), kind, 0.5),
        lambda a, b: slow_nt_xent(a, b, name, kind, 0.5),
        z1,
        z2,
    )
    assert torch.equal(
        NTXent(group(name), kind, temperature=0.5)(z1, z2), nt_xent(z1, z2, group(name), kind, 0.5)
    )


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_plain_loss_is_that_of_pytorch_metric_learning(temperature: float):
    from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

    z1, z2 = embeddings(9, "C4", 1), embeddings(9, "C4", 2)
    peer = SelfSupervisedLoss(NTXentLoss(temperature=temperature))
    assert_same_with_gradients(
        lambda a, b: nt_xent(a, b, group("C4"), None, temperature),
        lambda a, b: peer(a.flatten(1), b.flatten(1)),
        z1,
        z2,
    )


def test_the_loss_of_equal_embeddings_is_that_of_guessing():
    z = torch.ones(8, 3, 4, dtype=torch.float64)
    assert float(nt_xent(z, z, group("C4"))) == pytest.approx(math.log(15))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.zeros(3, 3, 4)}, "allowed: equal shapes"),
        ({"z1": torch.zeros(1, 3, 4), "z2": torch.zeros(1, 3, 4)}, "at least two"),
        ({"temperature": 0.0}, "allowed: a positive number"),
        ({"kind": "min"}, "'min', allowed: max, softmax, pool"),
        ({"z1": torch.zeros(4, 3, 5), "z2": torch.zeros(4, 3, 5)}, r"allowed: \(batch, 3, 4\)"),
    ],
)
def test_bad_arguments_of_a_loss_are_refused_by_name(change: dict, reason: str):
    arguments = {"z1": torch.randn(4, 3, 4), "z2": torch.randn(4, 3, 4), "kind": "max", "temperature": 0.2}
    with pytest.raises(ValueError, match=reason):
        nt_xent(G=group("C4"), **{**arguments, **change})
