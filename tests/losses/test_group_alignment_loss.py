import math

import pytest
import torch
from torch import Tensor

from eqssl.losses.group_alignment import found_share, orientation_loss, turned_back
from eqssl.symmetry import act_on_regular, group, group_names

GROUPS = group_names()


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def elements(count: int, name: str, seed: int) -> Tensor:
    return torch.randint(group(name).order, (count,), generator=torch.Generator().manual_seed(seed))


def turned(z: Tensor, positions: Tensor, name: str) -> Tensor:
    G = group(name)
    return torch.stack(
        [act_on_regular(G, one, G.elements[int(i)]) for one, i in zip(z, positions, strict=True)]
    )


def slow_orientation_loss(o1: Tensor, o2: Tensor, name: str, relative: Tensor, exists: Tensor) -> Tensor:
    """From the formula, one pair and one element after the other."""
    G, losses = group(name), []
    for a, b, i, counts in zip(o1, o2, relative, exists, strict=True):
        if not counts:
            continue
        a = act_on_regular(G, a, G.elements[int(i)])
        p, q = torch.exp(a) / torch.exp(a).sum(), torch.exp(b) / torch.exp(b).sum()
        losses.append(-sum(p[k] * torch.log(q[k]) for k in range(G.order)) / G.order)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("name", GROUPS)
def test_an_aligned_embedding_is_the_same_however_its_input_was_turned(name: str):
    G, z, own, moved = (
        group(name),
        numbers(6, 3, group(name).order),
        elements(6, name, 1),
        elements(6, name, 2),
    )
    expected = turned_back(z, own, G)
    together = G.product[moved, own]
    torch.testing.assert_close(turned_back(turned(z, moved, name), together, G), expected)
    for one, i, found in zip(z, own, expected, strict=True):
        torch.testing.assert_close(found, act_on_regular(G, one, ~G.elements[int(i)]))
    if name != "trivial":
        assert not torch.allclose(turned_back(turned(z, moved, name), own, G), expected)


@pytest.mark.parametrize("name", GROUPS)
def test_the_loss_of_orientations_equals_a_slow_loop_with_its_gradients(name: str):
    G = group(name)
    relative, exists = elements(7, name, 3), torch.tensor([True, True, False, True, False, True, True])
    found, expected = ([numbers(7, G.order, seed=s).requires_grad_() for s in (1, 2)] for _ in range(2))
    loss = orientation_loss(*found, G, relative, exists)
    slow = slow_orientation_loss(*expected, name, relative, exists)
    torch.testing.assert_close(loss, slow, atol=1e-12, rtol=1e-12)
    loss.backward()
    slow.backward()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", GROUPS)
def test_turning_both_views_with_their_relative_element_changes_nothing(name: str):
    G, exists = group(name), torch.ones(6, dtype=torch.bool)
    o1, o2, relative = numbers(6, G.order, seed=1), numbers(6, G.order, seed=2), elements(6, name, 3)
    first, second = elements(6, name, 4), elements(6, name, 5)
    moved = (turned(o1, first, name), turned(o2, second, name))
    between = G.product[G.product[second, relative], G.inverse[first]]
    expected = float(orientation_loss(o1, o2, G, relative, exists))
    assert float(orientation_loss(*moved, G, between, exists)) == pytest.approx(expected, rel=1e-12)
    if name != "trivial":
        assert abs(float(orientation_loss(*moved, G, relative, exists)) - expected) > 1e-4


@pytest.mark.parametrize("name", GROUPS)
def test_turns_are_found_where_the_best_orientations_differ_by_the_relative_element(name: str):
    G, relative, own = group(name), elements(5, name, 1), elements(5, name, 2)
    o1 = torch.eye(G.order)[own]
    o2 = turned(o1, relative, name)
    for wrong in range(3):
        o2[:wrong] = torch.eye(G.order)[(o2[:wrong].argmax(1) + 1) % G.order]
        exists = torch.tensor([True, True, True, True, False])
        right = 4 - (wrong if name != "trivial" else 0)
        assert float(found_share(o1, o2, G, relative, exists)) == pytest.approx(right / 4)
        o2 = turned(o1, relative, name)
    assert float(found_share(o1, o2, G, relative, torch.zeros(5, dtype=torch.bool))) == 0


def test_without_a_pair_that_counts_the_loss_is_zero_and_has_gradients():
    o1, o2 = numbers(3, 4).requires_grad_(), numbers(3, 4, seed=1)
    loss = orientation_loss(o1, o2, group("C4"), elements(3, "C4", 0), torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not bool(o1.grad.any())


def test_equal_uniform_histograms_have_the_entropy_of_a_uniform_distribution():
    zeros, exists = torch.zeros(2, 8), torch.ones(2, dtype=torch.bool)
    loss = orientation_loss(zeros, zeros, group("D4"), elements(2, "D4", 0), exists)
    assert float(loss) == pytest.approx(math.log(8) / 8)


def test_half_precision_is_summed_in_single_precision():
    zeros, exists = torch.zeros(2, 4, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bool)
    assert orientation_loss(zeros, zeros, group("C4"), elements(2, "C4", 0), exists).dtype == torch.float32


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"z: given shape \(2, 3, 5\), allowed: \(batch, fields, 4\)"):
        turned_back(numbers(2, 3, 5), elements(2, "C4", 0), group("C4"))
    with pytest.raises(ValueError, match=r"orientations: given shape \(3,\), allowed: \(2,\)"):
        turned_back(numbers(2, 3, 4), elements(3, "C4", 0), group("C4"))
    with pytest.raises(ValueError, match=r"given shapes \(2, 4\) and \(3, 4\), allowed: twice \(batch, 4\)"):
        orientation_loss(numbers(2, 4), numbers(3, 4), group("C4"), elements(2, "C4", 0), torch.ones(2) > 0)
