import math

import pytest
import torch
from slow_similarity import embeddings, slow_similarity, turn_each

from eqssl.losses import NTXent, nt_xent
from eqssl.symmetry import group, group_names

GROUPS = group_names()
KINDS = ["max", "softmax", "pool", "align"]


def slow_nt_xent(z1, z2, name, kind, t):
    """Pair after pair, from the definition."""
    z, n = [*z1, *z2], len(z1)
    total = 0.0
    for i in range(2 * n):
        scores = {k: slow_similarity(z[i], z[k], name, kind, t) / t for k in range(2 * n) if k != i}
        total -= scores[(i + n) % (2 * n)] - torch.log(sum(torch.exp(s) for s in scores.values()))
    return total / (2 * n)


def with_gradients(function, z1, z2):
    z1, z2 = z1.clone().requires_grad_(), z2.clone().requires_grad_()
    found = function(z1, z2)
    return [found.detach(), *torch.autograd.grad(found, (z1, z2))]


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("name", GROUPS)
def test_value_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    z1, z2 = embeddings(3, name, 1), embeddings(3, name, 2)
    found = with_gradients(lambda *z: nt_xent(*z, group(name), kind, 0.5), z1, z2)
    expected = with_gradients(lambda *z: slow_nt_xent(*z, name, kind, 0.5), z1, z2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert torch.equal(NTXent(group(name), kind, 0.5)(z1, z2), found[0])


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_plain_loss_is_that_of_pytorch_metric_learning(temperature: float):
    from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

    z1, z2 = embeddings(9, "C4", 1), embeddings(9, "C4", 2)
    peer = SelfSupervisedLoss(NTXentLoss(temperature=temperature))
    found = with_gradients(lambda *z: nt_xent(*z, group("C4"), None, temperature), z1, z2)
    expected = with_gradients(lambda a, b: peer(a.flatten(1), b.flatten(1)), z1, z2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_condition_c_independent_turns_of_the_inputs_change_nothing(name: str, kind: str):
    G = group(name)
    for dtype, error in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        z1, z2 = embeddings(6, name, 1, dtype=dtype), embeddings(6, name, 2, dtype=dtype)
        expected = float(nt_xent(z1, z2, G, kind))
        for seed in range(3):
            turned = nt_xent(turn_each(z1, name, seed), turn_each(z2, name, seed + 100), G, kind)
            assert float(turned) == pytest.approx(expected, rel=error)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_the_plain_loss_fails_condition_c(name: str):
    z1, z2 = embeddings(6, name, 1), embeddings(6, name, 2)
    turned = nt_xent(turn_each(z1, name, 0), turn_each(z2, name, 100), group(name), None)
    assert abs(float(turned - nt_xent(z1, z2, group(name), None))) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_for_the_trivial_group_the_absorbing_loss_is_the_plain_one_to_the_bit(kind: str):
    z1, z2 = embeddings(5, "trivial", 1), embeddings(5, "trivial", 2)
    assert torch.equal(nt_xent(z1, z2, group("trivial"), kind), nt_xent(z1, z2, group("trivial"), None))


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
