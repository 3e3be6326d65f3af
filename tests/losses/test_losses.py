import math

import pytest
import torch

from eqssl.losses import NTXent, absorbed_similarity, correlation, nt_xent, plain_similarity
from eqssl.losses import nt_xent as nt_xent_function
from eqssl.symmetry import act_on_regular, group, group_names

GROUPS = group_names()
KINDS = ["max", "softmax", "pool"]


def embeddings(n: int, name: str, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, group(name).order, generator=generator, dtype=torch.float64)


def turn_each(z: torch.Tensor, name: str, seed: int) -> torch.Tensor:
    G, generator = group(name), torch.Generator().manual_seed(seed)
    drawn = torch.randint(G.order, (len(z),), generator=generator)
    return torch.stack([act_on_regular(G, one, G.elements[int(i)]) for one, i in zip(z, drawn, strict=True)])


def slow_similarity(a: torch.Tensor, b: torch.Tensor, name: str, kind: str | None, tau: float) -> float:
    """One pair, from the formulas of the method and the regular representation alone."""
    G = group(name)
    if kind == "pool":
        a, b = a.mean(-1), b.mean(-1)
        return float((a / a.norm()) @ (b / b.norm()))
    a, b = a / a.norm(), b / b.norm()
    if kind is None:
        return float((a * b).sum())
    products = [float((a * act_on_regular(G, b, g)).sum()) for g in G.elements]
    if kind == "max":
        return max(products)
    return tau * math.log(sum(math.exp(p / tau) for p in products) / len(products))


def slow_nt_xent(z1: torch.Tensor, z2: torch.Tensor, name: str, kind: str | None, t: float) -> float:
    z, n = [*z1, *z2], len(z1)
    total = 0.0
    for i in range(2 * n):
        scores = {k: slow_similarity(z[i], z[k], name, kind, t) / t for k in range(2 * n) if k != i}
        total -= scores[(i + n) % (2 * n)] - math.log(sum(math.exp(s) for s in scores.values()))
    return total / (2 * n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_similarities_equal_those_of_a_slow_loop(name: str, kind: str):
    a, b = embeddings(3, name, 1), embeddings(4, name, 2)
    found = absorbed_similarity(a, b, group(name), kind, 0.3)
    expected = [[slow_similarity(x, y, name, kind, 0.3) for y in b] for x in a]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("name", ["trivial", "C4", "D2", "D4"])
def test_nt_xent_equals_a_slow_loop(name: str, kind: str | None):
    z1, z2 = embeddings(4, name, 1), embeddings(4, name, 2)
    found = float(nt_xent(z1, z2, group(name), kind, 0.5))
    assert found == pytest.approx(slow_nt_xent(z1, z2, name, kind, 0.5), rel=1e-5)
    assert float(NTXent(group(name), kind, 0.5)(z1, z2)) == found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_condition_c_independent_turns_of_the_inputs_change_nothing(name: str, kind: str):
    G, z1, z2 = group(name), embeddings(6, name, 1), embeddings(6, name, 2)
    expected = float(nt_xent(z1, z2, G, kind))
    for seed in range(5):
        turned = nt_xent(turn_each(z1, name, seed), turn_each(z2, name, seed + 100), G, kind)
        assert float(turned) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_the_plain_loss_fails_condition_c(name: str):
    z1, z2 = embeddings(6, name, 1), embeddings(6, name, 2)
    turned = nt_xent(turn_each(z1, name, 0), turn_each(z2, name, 100), group(name), None)
    assert abs(float(turned - nt_xent(z1, z2, group(name), None))) > 1e-2


def test_for_the_trivial_group_the_absorbing_loss_is_the_plain_one():
    z1, z2 = embeddings(5, "trivial", 1), embeddings(5, "trivial", 2)
    plain = float(nt_xent(z1, z2, group("trivial"), None))
    for kind in KINDS:
        assert float(nt_xent(z1, z2, group("trivial"), kind)) == pytest.approx(plain)


def test_the_correlation_moves_with_either_input():
    G, a, b = group("D4"), embeddings(2, "D4", 1), embeddings(3, "D4", 2)
    products = correlation(a, b, G)
    for i, g in enumerate(G.elements):
        torch.testing.assert_close(correlation(a, act_on_regular(G, b, g), G)[0], products[i])


def test_a_large_batch_is_streamed_with_the_same_result_and_gradient(monkeypatch):
    import sys

    module = sys.modules[nt_xent_function.__module__]
    gradients = []
    for block in (1024, 5):
        monkeypatch.setattr(module, "_BLOCK", block)
        z1, z2 = embeddings(8, "C4", 1).requires_grad_(), embeddings(8, "C4", 2).requires_grad_()
        loss = nt_xent(z1, z2, group("C4"), "max")
        loss.backward()
        gradients.append((loss.detach(), z1.grad, z2.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_the_plain_similarity_is_the_cosine():
    a, b = embeddings(3, "C4", 1), embeddings(2, "C4", 2)
    expected = torch.nn.functional.cosine_similarity(a.flatten(1)[:, None], b.flatten(1)[None], dim=-1)
    torch.testing.assert_close(plain_similarity(a, b), expected)


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
