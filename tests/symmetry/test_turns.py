"""How turns follow each other, and which element of a group two turns differ by."""

import math

import numpy as np
import pytest
import small_encoders
import torch

from eqssl.losses.paired import best_element
from eqssl.symmetry import group, group_names
from eqssl.symmetry.interpolation import compared_elements
from eqssl.symmetry.turning import flip_and_degrees
from eqssl.symmetry.turns import Turns, is_relative_element, relative_element

ANGLES = 64
COUNT = 200


def some_turns(seed: int) -> Turns:
    generator = torch.Generator().manual_seed(seed)
    return Turns(360 * torch.rand(COUNT, generator=generator), torch.rand(COUNT, generator=generator) < 0.5)


def matrices(turns: Turns) -> list[np.ndarray]:
    found = []
    for degrees, mirrored in zip(turns.degrees.double().tolist(), turns.mirrored.tolist(), strict=True):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        rotation = np.array([[c, -s], [s, c]])
        found.append(rotation @ np.diag([-1.0, 1.0]) if mirrored else rotation)
    return found


def test_products_and_inverses_of_turns_are_those_of_their_matrices():
    first, second = some_turns(0), some_turns(1)
    products = zip(matrices(first), matrices(second), matrices(first.after(second)), strict=True)
    assert all(np.allclose(a @ b, product, atol=1e-4) for a, b, product in products)
    inverses = zip(matrices(first), matrices(first.inverse()), strict=True)
    assert all(np.allclose(a @ inverse, np.eye(2), atol=1e-4) for a, inverse in inverses)


@pytest.mark.parametrize("name", group_names())
def test_the_relative_element_is_the_nearest_compared_one(name):
    G = group(name)
    first, second = some_turns(2), some_turns(3)
    positions, exists = relative_element(G, first, second, ANGLES)
    elements = compared_elements(G, ANGLES)
    reflections = any(flip_and_degrees(matrix)[0] for matrix in elements)
    for i, (t, u) in enumerate(zip(matrices(first), matrices(second), strict=True)):
        relative = t @ np.linalg.inv(u)
        assert bool(exists[i]) == (reflections or np.linalg.det(relative) > 0)
        if exists[i]:
            # |A - B|^2 = 4 - 2 tr(A^T B) = 4 - 4 cos(angle between) for two rotations or two reflections
            alike = [np.linalg.det(relative) * np.linalg.det(element) > 0 for element in elements]
            distances = [
                np.linalg.norm(relative - element) if same else math.inf
                for element, same in zip(elements, alike, strict=True)
            ]
            assert distances[int(positions[i])] == pytest.approx(min(distances), abs=1e-4)
    assert 0 < exists.sum() <= COUNT


@pytest.mark.parametrize("name", group_names())
def test_the_relative_element_is_the_best_element_of_turned_images(name):
    """Turns by grid elements turn the embeddings exactly. In the other order they do not fit."""
    G = group(name)
    encoder = small_encoders.trained_statistics(small_encoders.new(name, width=[32, 32, 64]).double())
    images = torch.rand(1, 1, 28, 28, dtype=torch.float64)
    grid = G.grid_elements
    places = [flip_and_degrees(G.matrix(g)) for g in grid]
    turns = Turns(torch.tensor([p[1] for p in places]), torch.tensor([p[0] for p in places]))
    with torch.no_grad():
        embedded = encoder(torch.cat([G.act(images, g) for g in grid]))
    pairs = torch.cartesian_prod(torch.arange(len(grid)), torch.arange(len(grid))).view(-1, 2)
    first, second = (Turns(turns.degrees[i], turns.mirrored[i]) for i in pairs.unbind(1))
    expected, exists = relative_element(G, first, second, ANGLES)
    assert exists.all()
    found = best_element(*(embedded[i] for i in pairs.unbind(1)), G, ANGLES)
    assert torch.equal(found, expected)
    if G.order > 2:
        assert torch.equal(found, relative_element(G, second, first, ANGLES)[0]) is (name == "D2")


@pytest.mark.parametrize("name", group_names())
def test_an_element_is_right_if_it_is_the_nearest_or_within_half_of_the_spacing(name):
    G = group(name)
    first, second = some_turns(4), some_turns(5)
    nearest, exists = relative_element(G, first, second, ANGLES)
    elements = compared_elements(G, ANGLES)
    for position in range(len(elements)):
        right, possible = is_relative_element(G, torch.full((COUNT,), position), first, second, ANGLES)
        assert torch.equal(possible, exists)
        if not G.is_continuous:
            assert torch.equal(right & exists, (nearest == position) & exists)
            continue
        flip, degrees = flip_and_degrees(elements[position])
        for i, (t, u) in enumerate(zip(matrices(first), matrices(second), strict=True)):
            mirrors, turned = flip_and_degrees(t @ u.T)
            apart = abs((turned - degrees + 180) % 360 - 180)
            assert bool(right[i]) == (mirrors == flip and apart <= 22.5)
