import copy
import pickle

import numpy as np
import pytest
import torch

from eqssl.symmetry import Group, act_on_regular, act_on_regular_each, group, group_names

EXACT = group_names(exact=True)
OTHERS = [name for name in group_names() if name not in EXACT]
FINITE = [name for name in group_names() if not group(name).is_continuous]
ORDERS = {"trivial": 1, "C2": 2, "C4": 4, "D1": 2, "D2": 4, "D4": 8, "C8": 8, "D8": 16, "SO2": 8, "O2": 16}


def test_groups_have_the_orders_and_grid_elements_of_the_method():
    assert {name: group(name).order for name in group_names()} == ORDERS
    assert EXACT == ["trivial", "C2", "C4", "D1", "D2", "D4"]
    assert [name for name in OTHERS if group(name).is_continuous] == ["SO2", "O2"]
    assert {name: len(group(name).grid_elements) for name in OTHERS} == {"C8": 4, "D8": 8, "SO2": 4, "O2": 8}


def test_an_unknown_group_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(ValueError, match=r"'C3', allowed: trivial, C2"):
        group("C3")


@pytest.mark.parametrize("name", EXACT)
def test_acting_by_a_product_is_acting_twice(name: str):
    G, images = group(name), torch.randn(2, 3, 6, 6)
    for g in G.elements:
        for h in G.elements:
            assert torch.equal(G.act(G.act(images, h), g), G.act(images, g @ h))
        assert torch.equal(G.act(G.act(images, g), ~g), images)
    assert torch.equal(G.act(images, G.identity), images)


@pytest.mark.parametrize("name", EXACT)
def test_the_action_equals_escnns(name: str):
    from eqssl.symmetry import _escnn

    G, images = group(name), torch.randn(1, 1, 5, 5, dtype=torch.float64)
    field = _escnn.nn.FieldType(G.gspace, [G.gspace.trivial_repr])
    for g in G.elements:
        expected = _escnn.nn.GeometricTensor(images, field).transform(g).tensor
        # escnn resamples, which is exact up to rounding for these elements
        torch.testing.assert_close(G.act(images, g), expected.double(), atol=1e-5, rtol=0)


def test_a_rotation_is_counter_clockwise_and_a_reflection_swaps_left_and_right():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    C4, D1 = group("C4"), group("D1")
    np.testing.assert_array_equal(C4.act(image, C4.elements[1])[0, 0], np.rot90(image[0, 0]))
    np.testing.assert_array_equal(D1.act(image, D1.elements[1])[0, 0], np.fliplr(image[0, 0]))


@pytest.mark.parametrize("name", group_names())
def test_fields_are_turned_one_by_one_as_together_and_back_by_the_inverse(name: str):
    G = group(name)
    values, indices = torch.randn(G.order, 3, G.order), torch.randperm(G.order)
    found = act_on_regular_each(G, values, indices)
    for one, i, turned in zip(values, indices.tolist(), found, strict=True):
        assert torch.equal(turned, act_on_regular(G, one, G.elements[i]))
    assert torch.equal(act_on_regular_each(G, found, indices, inverse=True), values)


@pytest.mark.parametrize("name", EXACT)
def test_act_each_moves_every_image_by_its_own_element(name: str):
    G, images = group(name), torch.randn(9, 2, 7, 7)
    indices = torch.arange(9) % G.order
    moved = G.act_each(images, indices)
    for i, image in enumerate(images):
        assert torch.equal(moved[i], G.act(image, G.elements[int(indices[i])]))


def test_act_each_refuses_images_that_are_not_square():
    with pytest.raises(ValueError, match="4 x 6"):
        group("C4").act_each(torch.zeros(1, 1, 4, 6), torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("name", group_names())
def test_product_and_inverse_tables_agree_with_the_elements(name: str):
    G = group(name)
    for i, g in enumerate(G.elements):
        assert G.elements[int(G.inverse[i])] == ~g
        for j, h in enumerate(G.elements):
            assert G.elements[int(G.product[i, j])] == g @ h


@pytest.mark.parametrize("name", EXACT)
def test_displacements_move_as_pixels_do(name: str):
    G = group(name)
    for place in [(0, 1), (2, 0), (1, 4)]:
        image = torch.zeros(5, 5)
        image[place] = 1
        for g in G.elements:
            down, right = G.act_on_vectors(torch.tensor(place) - 2, g) + 2
            assert G.act(image, g)[down, right] == 1


@pytest.mark.parametrize("name", FINITE)
def test_the_regular_representation_is_escnns(name: str):
    G, values = group(name), torch.randn(3, ORDERS[name], dtype=torch.float64)
    for g in G.elements:
        matrix = torch.as_tensor(np.asarray(G.gspace.regular_repr(g)), dtype=torch.float64)
        torch.testing.assert_close(act_on_regular(G, values, g), values @ matrix.t())


@pytest.mark.parametrize("name", OTHERS)
def test_turns_off_the_grid_interpolate_and_those_on_the_grid_are_exact(name: str):
    """Smooth blobs: the moved image has them where the element's matrix says."""
    G, middle = group(name), 20
    down, right = torch.meshgrid(*[torch.arange(41.0) - middle] * 2, indexing="ij")
    # x to the right, y up
    place = np.array([8.0, 5.0])
    images = torch.exp(-((right - place[0]) ** 2 + (-down - place[1]) ** 2) / 18)
    for g in G.elements:
        x, y = G.matrix(g) @ place
        expected = torch.exp(-((right - x) ** 2 + (-down - y) ** 2) / 18)
        torch.testing.assert_close(G.act(images, g), expected, atol=0.03, rtol=0)
    for g in G.grid_elements:
        assert torch.equal(G.act(G.act(images, g), ~g), images)


@pytest.mark.parametrize("name", OTHERS)
def test_exact_actions_refuse_elements_off_the_pixel_grid(name: str):
    G = group(name)
    off = next(g for g in G.elements if g not in G.grid_elements)
    with pytest.raises(ValueError, match="does not map the pixel grid to itself"):
        G.act_on_vectors(torch.zeros(2, dtype=torch.int64), off)
    with pytest.raises(ValueError, match=f"given group {name}, allowed: groups that are exact on pixels"):
        G.act_each(torch.zeros(1, 1, 4, 4), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"given torch\.uint8, allowed: floating point"):
        G.act(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), off)


@pytest.mark.parametrize("name", ["SO2", "O2"])
def test_a_listed_element_is_one_of_the_continuous_group(name: str):
    G = group(name)
    for g in G.elements:
        matrix = np.asarray(G.gspace.basespace_action(G.continuous(g)))
        np.testing.assert_allclose(matrix, G.matrix(g), atol=1e-12)
    with pytest.raises(ValueError, match="given C8, allowed: SO2, O2"):
        group("C8").continuous(group("C8").identity)


def test_a_foreign_element_is_refused():
    with pytest.raises(ValueError, match="not an element of C4"):
        group("C4").index(group("D4").elements[5])


def test_groups_survive_copying_and_pickling():
    G = group("D4")
    assert isinstance(pickle.loads(pickle.dumps(G)), Group)  # noqa: S301 (our own bytes)
    assert copy.deepcopy(G).elements == G.elements
