import numpy as np
import pytest
import torch

from eqssl.symmetry import GSet, coset_representatives, grid_slots, group, group_names

GROUPS = group_names(exact=True)
OUTER = [(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)]


def slow_orbits(gset: GSet) -> set[frozenset[int]]:
    return {frozenset(int(row[y]) for row in gset.action) for y in range(gset.size)}


@pytest.mark.parametrize("name", GROUPS)
def test_orbits_partition_the_set(name: str):
    gset = grid_slots(group(name), 3, OUTER).product(GSet.regular(group(name)))
    assert {frozenset(orbit) for orbit in gset.orbits()} == slow_orbits(gset)


@pytest.mark.parametrize("name", GROUPS)
def test_orbit_and_stabiliser_have_the_right_sizes(name: str):
    gset = grid_slots(group(name), 3, OUTER)
    for orbit in gset.orbits():
        for point in orbit:
            assert len(orbit) * len(gset.stabiliser(point)) == group(name).order


@pytest.mark.parametrize(("name", "sizes"), [("C4", [4, 4]), ("D4", [4, 4]), ("trivial", [1] * 8)])
def test_the_outer_slots_have_the_known_orbits(name: str, sizes: list[int]):
    assert [len(orbit) for orbit in grid_slots(group(name), 3, OUTER).orbits()] == sizes


def test_a_quarter_turn_moves_the_outer_slots_as_published():
    # row-major labels, counter-clockwise; column-major code has the inverse table
    assert grid_slots(group("C4"), 3, OUTER).action[1].tolist() == [5, 3, 0, 6, 1, 7, 4, 2]


@pytest.mark.parametrize("name", GROUPS)
def test_slots_move_as_an_image_of_them_does(name: str):
    G = group(name)
    gset = grid_slots(G, 3, [(r, c) for r in range(3) for c in range(3)])
    image = torch.arange(9).view(3, 3)
    for g in G.elements:
        assert torch.equal(G.act(image, g).flatten()[gset.permutation(g)], image.flatten())


@pytest.mark.parametrize("name", GROUPS)
def test_logits_move_with_their_points(name: str):
    G = group(name)
    gset, logits = grid_slots(G, 3, OUTER), torch.randn(2, 8)
    for g in G.elements:
        moved = gset.act_on_logits(logits, g)
        for y in range(8):
            assert torch.equal(moved[:, gset.permutation(g)[y]], logits[:, y])


def test_the_permutation_representation_is_a_representation():
    G = group("D4")
    gset, logits = grid_slots(G, 3, OUTER), torch.randn(8)
    for g in G.elements:
        for h in G.elements:
            twice = gset.act_on_logits(gset.act_on_logits(logits, h), g)
            assert torch.equal(twice, gset.act_on_logits(logits, g @ h))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[1, 0], [0, 1]], "identity"),
        ([[0, 1], [0, 0]], "not a permutation"),
        ([[0, 1, 2], [1, 2, 0]], "differs"),
        ([[0, 1]], "shape"),
    ],
)
def test_a_table_that_is_no_action_is_refused(table: list[list[int]], reason: str):
    with pytest.raises(ValueError, match=reason):
        GSet(group("C2"), torch.tensor(table))


def test_labels_that_are_not_closed_under_the_group_are_refused():
    G = group("C4")
    with pytest.raises(ValueError, match="not closed under C4"):
        GSet.from_function(G, range(3), lambda g, y: (y + G.index(g)) % 4)


def test_the_same_label_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        GSet.from_function(group("C2"), [0, 0], lambda g, y: y)


# ---- constructions

SUBGROUPS = [
    (large, small)
    for large in group_names()
    for small in group_names()
    if not group(small).is_continuous
    and all(
        any(np.allclose(group(large).matrix(g), group(small).matrix(h)) for g in group(large).elements)
        for h in group(small).elements
    )
]


@pytest.mark.parametrize("name", [name for name in group_names() if name != "trivial"])
def test_generators_determine_the_regular_action(name: str):
    """All elements but the identity generate; so do the fewest that do."""
    G = group(name)
    regular = GSet.regular(G)
    images = {g: regular.permutation(g).tolist() for g in G.elements[1:]}
    assert torch.equal(GSet.from_generators(G, images).action, regular.action)
    few: dict = {}
    for g, row in images.items():
        if g not in reached(G, list(few)):
            few[g] = row
    assert len(few) <= 2
    assert torch.equal(GSet.from_generators(G, few).action, regular.action)


@pytest.mark.parametrize("name", GROUPS)
def test_generators_determine_how_slots_move(name: str):
    G = group(name)
    whole = grid_slots(G, 3, OUTER)
    images = {g: whole.permutation(g).tolist() for g in G.elements}
    assert torch.equal(GSet.from_generators(G, images).action, whole.action)


def reached(G, generators: list) -> set:
    found = {G.identity}
    while True:
        more = found | {s @ g for s in generators for g in found}
        if more == found:
            return found
        found = more


def test_bad_generators_are_refused_by_name():
    C4, D4 = group("C4"), group("D4")
    quarter, half = C4.elements[1:3]
    with pytest.raises(ValueError, match="two words"):
        GSet.from_generators(C4, {quarter: [1, 2, 0]})
    with pytest.raises(ValueError, match="no permutation of 2 points"):
        GSet.from_generators(C4, {quarter: [1, 1]})
    with pytest.raises(ValueError, match=r"no word gives .* of C4"):
        GSet.from_generators(C4, {half: [1, 0]})
    with pytest.raises(ValueError, match="no word gives"):
        GSet.from_generators(D4, {})
    with pytest.raises(ValueError, match="not an element of D4"):
        GSet.from_generators(D4, {quarter: [1, 2, 3, 0]})


@pytest.mark.parametrize(("large", "small"), SUBGROUPS)
def test_restricted_sets_move_as_before(large: str, small: str):
    G, H = group(large), group(small)
    whole = GSet.regular(G)
    part = whole.restricted(H)
    assert part.group is H
    for h in H.elements:
        g = next(g for g in G.elements if np.allclose(G.matrix(g), H.matrix(h)))
        assert torch.equal(part.permutation(h), whole.permutation(g))
    assert len(part.orbits()) == G.order // H.order


@pytest.mark.parametrize(("large", "small"), SUBGROUPS)
def test_cosets_are_one_orbit_with_the_subgroup_as_stabiliser(large: str, small: str):
    G, H = group(large), group(small)
    quotient, representatives = GSet.cosets(G, H), coset_representatives(G, H)
    assert quotient.size == len(representatives) == G.order // H.order
    assert len(quotient.orbits()) == 1
    fixing = [G.matrix(g) for g in quotient.stabiliser(0)]
    assert len(fixing) == H.order
    assert all(any(np.allclose(m, H.matrix(h)) for m in fixing) for h in H.elements)
    assert representatives[0] == 0
    for point, position in enumerate(representatives):
        assert int(quotient.permutation(G.elements[position])[0]) == point


def test_a_group_that_is_not_a_subgroup_is_refused():
    assert ("D4", "D2") in SUBGROUPS
    assert ("D4", "C8") not in SUBGROUPS
    for make in (GSet.cosets, coset_representatives, lambda G, H: GSet.regular(G).restricted(H)):
        with pytest.raises(ValueError, match="C8 is no subgroup of D4, which has no element"):
            make(group("D4"), group("C8"))


@pytest.mark.parametrize("name", GROUPS)
def test_a_sum_has_the_orbits_of_its_terms(name: str):
    G = group(name)
    terms = [grid_slots(G, 3, OUTER), GSet.fixed(G, 2), GSet.regular(G)]
    union, start = GSet.sum(*terms), 0
    for term in terms:
        for g in G.elements:
            part = union.permutation(g)[start : start + term.size]
            assert torch.equal(part, term.permutation(g) + start)
        start += term.size
    assert union.size == start
    assert len(union.orbits()) == sum(len(term.orbits()) for term in terms)


def test_the_edges_of_a_grid_are_the_cosets_of_the_mirror_that_fixes_one():
    G, mirror = group("D4"), group("D1")
    edges, quotient = grid_slots(G, 3, [(0, 1), (1, 0), (1, 2), (2, 1)]), GSet.cosets(G, mirror)
    # x H -> x . (top edge), which the mirror image in the vertical axis leaves where it is
    slot = edges.action[coset_representatives(G, mirror), 0]
    assert sorted(slot.tolist()) == [0, 1, 2, 3]
    assert torch.equal(edges.action[:, slot], slot[quotient.action])


def test_sets_of_different_groups_have_no_sum():
    with pytest.raises(ValueError, match="given sets of C2, C4, allowed: sets of one group"):
        GSet.sum(GSet.regular(group("C4")), GSet.regular(group("C2")))
