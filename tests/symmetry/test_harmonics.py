import pytest
import torch

from eqssl.symmetry import act_on_regular, group, group_names
from eqssl.symmetry.harmonics import harmonics

# fields x |G| numbers cost this many multiplications for each field and pair
MULTIPLICATIONS = {"trivial": 1, "C2": 2, "C4": 6, "C8": 14, "D1": 2, "D2": 4, "D4": 12, "D8": 28}


def multiplied(a: torch.Tensor, b: torch.Tensor, name: str) -> torch.Tensor:
    """The products of coefficients, one number at a time."""
    found = []
    for block in harmonics(name).blocks:
        x, y = a[block.start : block.stop], b[block.start : block.stop]
        if block.kind == "lines":
            found += list(x * y)
        elif block.kind == "rotation":
            found += [x[0] * y[0] + x[1] * y[1], x[1] * y[0] - x[0] * y[1]]
        else:
            x, y = x.view(block.size, -1), y.view(block.size, -1)
            found += [x[j] @ y[k] for k in range(block.size) for j in range(block.size)]
    return torch.stack(found)


@pytest.mark.parametrize("name", group_names())
def test_the_basis_is_orthonormal(name: str):
    basis = harmonics(name).basis
    torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64))


@pytest.mark.parametrize("name", group_names())
def test_products_of_coefficients_give_the_correlation_over_the_group(name: str):
    G, found = group(name), harmonics(name)
    a, b = torch.randn(2, G.order, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    correlation = found.synthesis @ multiplied(a @ found.basis, b @ found.basis, name)
    expected = torch.stack([(a * act_on_regular(G, b, g)).sum() for g in G.elements])
    torch.testing.assert_close(correlation, expected)


@pytest.mark.parametrize("name", MULTIPLICATIONS)
def test_the_blocks_take_as_few_multiplications_as_the_irreps_allow(name: str):
    of_kind = {"lines": lambda b: b.size, "rotation": lambda b: 4, "real": lambda b: b.size**2 * b.copies}
    assert sum(of_kind[b.kind](b) for b in harmonics(name).blocks) == MULTIPLICATIONS[name]


@pytest.mark.parametrize("name", group_names())
def test_a_turn_mixes_only_coefficients_of_the_same_block_and_copy(name: str):
    G, found = group(name), harmonics(name)
    z = torch.eye(G.order, dtype=torch.float64)
    for g in G.elements:
        matrix = found.basis.T @ act_on_regular(G, z, g).T @ found.basis
        for block in found.blocks:
            rest = matrix[block.start : block.stop].clone()
            rest[:, block.start : block.stop] = 0
            torch.testing.assert_close(rest, torch.zeros_like(rest))
