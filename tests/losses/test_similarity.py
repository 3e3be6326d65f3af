import pytest
import torch
from slow_pairs import embeddings, slow_similarity, turn_each

from eqssl.losses.correlation import correlation
from eqssl.losses.paired import best_element, comparable, paired_correlation, paired_similarity
from eqssl.losses.similarity import absorbed_similarity, plain_similarity, similarity
from eqssl.symmetry import act_on_regular, group, group_names

GROUPS = group_names()
KINDS = ["max", "softmax", "pool", "align"]


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("name", GROUPS)
def test_similarities_equal_those_of_a_slow_loop(name: str, kind: str | None):
    a, b = embeddings(3, name, 1), embeddings(4, name, 2)
    found = similarity(a, b, group(name), kind, 0.3)
    expected = torch.stack(
        [torch.stack([slow_similarity(x, y, group(name), kind, 0.3) for y in b]) for x in a]
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(paired_similarity(a, b[:3], group(name), kind, 0.3), expected.diagonal())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_turning_either_input_changes_no_absorbed_similarity(name: str, kind: str):
    G, a, b = group(name), embeddings(4, name, 1), embeddings(5, name, 2)
    expected = absorbed_similarity(a, b, G, kind)
    for seed in range(3):
        found = absorbed_similarity(turn_each(a, name, seed), turn_each(b, name, seed + 9), G, kind)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_turning_an_input_changes_the_plain_similarity(name: str):
    a, b = embeddings(4, name, 1), embeddings(5, name, 2)
    assert (plain_similarity(turn_each(a, name, 0), b) - plain_similarity(a, b)).abs().max() > 1e-2


@pytest.mark.parametrize("angles", [8, 16, 64])
@pytest.mark.parametrize("name", ["SO2", "O2"])
def test_more_angles_find_at_least_as_much(name: str, angles: int):
    a, b = embeddings(4, name, 1), embeddings(5, name, 2)
    found = absorbed_similarity(a, b, group(name), "max", angles=angles)
    assert bool((absorbed_similarity(a, b, group(name), "max", angles=2 * angles) >= found - 1e-12).all())


def test_the_correlation_moves_with_either_input():
    G, a, b = group("D4"), embeddings(2, "D4", 1), embeddings(3, "D4", 2)
    products = correlation(a, b, G)
    for i, g in enumerate(G.elements):
        torch.testing.assert_close(correlation(a, act_on_regular(G, b, g), G)[0], products[i])


@pytest.mark.parametrize("name", GROUPS)
def test_correlations_of_pairs_are_the_diagonal_of_all(name: str):
    a, b = embeddings(4, name, 1), embeddings(4, name, 2)
    every = correlation(a, b, group(name), 16)
    torch.testing.assert_close(paired_correlation(a, b, group(name), 16), every.diagonal(dim1=1, dim2=2).T)


@pytest.mark.parametrize("name", GROUPS)
def test_the_best_element_is_the_one_that_was_used(name: str):
    G, a = group(name), embeddings(16, name, 1)
    for number, g in enumerate(G.elements):
        place = number if not G.is_continuous else None
        found = best_element(act_on_regular(G, a, g), a, G)
        if place is not None:
            assert found.tolist() == [place] * len(a)
        turned_back = comparable(act_on_regular(G, a, g), a, G, "align")[1]
        torch.testing.assert_close(turned_back, act_on_regular(G, a, g))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_a_pair_stays_comparable_when_either_is_turned(name: str, kind: str):
    G, a, b = group(name), embeddings(3, name, 1), embeddings(3, name, 2)
    first, second = comparable(a, b, G, kind, 0.3)
    for g in G.elements:
        torch.testing.assert_close(comparable(a, act_on_regular(G, b, g), G, kind, 0.3), (first, second))
        moved = comparable(act_on_regular(G, a, g), b, G, kind, 0.3)
        expected = [z if kind == "pool" or G.order == 1 else act_on_regular(G, z, g) for z in (first, second)]
        torch.testing.assert_close(list(moved), expected)


def test_soft_alignment_becomes_hard_as_the_temperature_falls():
    G, a, b = group("D4"), embeddings(3, "D4", 1), embeddings(3, "D4", 2)
    torch.testing.assert_close(comparable(a, b, G, "softmax", 1e-4)[1], comparable(a, b, G, "align")[1])


def test_the_plain_similarity_is_the_cosine():
    a, b = embeddings(3, "C4", 1), embeddings(2, "C4", 2)
    expected = torch.nn.functional.cosine_similarity(a.flatten(1)[:, None], b.flatten(1)[None], dim=-1)
    torch.testing.assert_close(plain_similarity(a, b), expected)


def test_wrong_kinds_and_shapes_are_refused_by_name():
    G, z = group("C4"), torch.randn(4, 3, 4)
    with pytest.raises(ValueError, match="kind: given 'min', allowed: max, softmax, pool, align, or None"):
        absorbed_similarity(z, z, G, "min")
    with pytest.raises(ValueError, match=r"b: given shape \(4, 3, 5\), allowed: \(batch, 3, 4\)"):
        similarity(z, torch.zeros(4, 3, 5), G)
    with pytest.raises(ValueError, match="pairs: given 4 and 3 embeddings, allowed: equally many"):
        paired_similarity(z, z[:3], G)
