import pytest
import torch

from eqssl.symmetry import GSet, grid_slots, group, group_names

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
def test_logits_follow_their_points(name: str):
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


def test_labels_that_the_group_leads_out_of_are_refused():
    G = group("C4")
    with pytest.raises(ValueError, match="not closed under C4"):
        GSet.from_function(G, range(3), lambda g, y: (y + G.index(g)) % 4)


def test_the_same_label_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        GSet.from_function(group("C2"), [0, 0], lambda g, y: y)
