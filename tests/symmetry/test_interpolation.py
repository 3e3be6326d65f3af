import math

import pytest
import torch

from eqssl.symmetry import act_on_regular, group, group_names
from eqssl.symmetry.interpolation import compared_elements, interpolation, turning_matrices

CONTINUOUS = ["SO2", "O2"]


def polynomial(name: str, matrix) -> float:
    """A trigonometric polynomial on the group with frequencies up to 3, another one where it reflects."""
    reflected = torch.linalg.det(torch.as_tensor(matrix)) < 0
    angle = math.atan2(matrix[1][0], matrix[0][0]) * (-1 if reflected else 1)
    if reflected:
        # rotation after a reflection of x: its first column is (-cos, -sin)
        angle = math.atan2(-matrix[1][0], -matrix[0][0])
        return 0.3 - math.cos(2 * angle) + 0.7 * math.sin(3 * angle)
    return 1.0 + 2 * math.cos(angle) - 0.5 * math.sin(2 * angle) + 0.1 * math.cos(3 * angle)


@pytest.mark.parametrize("angles", [8, 16, 64])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_polynomials_are_known_between_the_listed_elements(name: str, angles: int):
    G = group(name)
    listed = torch.tensor([polynomial(name, G.matrix(g)) for g in G.elements], dtype=torch.float64)
    expected = torch.tensor([polynomial(name, m) for m in compared_elements(G, angles)], dtype=torch.float64)
    torch.testing.assert_close(interpolation(name, angles) @ listed, expected)


@pytest.mark.parametrize("name", group_names())
def test_turning_matrices_of_listed_elements_are_the_regular_representation(name: str):
    G = group(name)
    z = torch.randn(3, G.order, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    elements = compared_elements(G, 64)
    for g in G.elements:
        (place,) = [i for i, m in enumerate(elements) if abs(m - G.matrix(g)).max() < 1e-9]
        torch.testing.assert_close(z @ turning_matrices(G.name, 64)[place].T, act_on_regular(G, z, g))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_turns_off_the_listed_elements_move_polynomials(name: str):
    G = group(name)
    listed = [G.matrix(g) for g in G.elements]
    values = torch.tensor([polynomial(name, h) for h in listed], dtype=torch.float64)
    for number, g in enumerate(compared_elements(G, 16)):
        moved = torch.tensor([polynomial(name, g.T @ h) for h in listed], dtype=torch.float64)
        torch.testing.assert_close(turning_matrices(name, 16)[number] @ values, moved)


@pytest.mark.parametrize("angles", [0, 4, 12])
def test_angles_that_leave_out_listed_elements_are_refused(angles: int):
    with pytest.raises(ValueError, match=f"angles: given {angles}, allowed: a multiple of 8"):
        compared_elements(group("SO2"), angles)
