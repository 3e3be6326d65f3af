import numpy as np
import pytest
import torch
import torch.nn.functional as F

from eqssl.nn.activation import FourierELU
from eqssl.nn.pooling import Sample
from eqssl.symmetry import _escnn, act_on_regular, group
from eqssl.symmetry.fourier import ROTATIONS, field_representation, field_size, sampling_matrix

CONTINUOUS = ["SO2", "O2"]


@pytest.mark.parametrize("rotations", [None, 8, 12, 16])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_basis_is_orthonormal_and_starts_with_the_constant(name: str, rotations: int | None):
    matrix = sampling_matrix(group(name), rotations)
    product = matrix.t() @ matrix / len(matrix)
    torch.testing.assert_close(product, torch.eye(field_size(group(name)), dtype=torch.float64))
    torch.testing.assert_close(matrix[:, 0], torch.ones(len(matrix), dtype=torch.float64))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_of_a_moved_field_are_permuted_as_a_regular_field(name: str):
    G, sample = group(name), Sample(sampling_matrix(group(name))).double()
    x = torch.randn(2, 3, field_size(G), dtype=torch.float64)
    representation = field_representation(G)
    for g in G.elements:
        moved = x @ torch.from_numpy(np.asarray(representation(G.continuous(g)))).t()
        torch.testing.assert_close(sample(moved), act_on_regular(G, sample(x), g), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_too_few_angles_are_refused(name: str):
    with pytest.raises(ValueError, match="rotations: given 6, allowed: more than 6"):
        sampling_matrix(group(name), 6)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_activation_is_escnns(name: str):
    G, fields = group(name), 3
    representation = field_representation(G)
    theirs = _escnn.nn.FourierELU(
        G.gspace,
        fields,
        irreps=list(dict.fromkeys(representation.irreps)),
        type="regular",
        N=ROTATIONS,
        inplace=False,
        normalize=False,
    ).double()
    ours = FourierELU(sampling_matrix(G, ROTATIONS)).double()
    x = torch.randn(2, fields * representation.size, 4, 4, dtype=torch.float64, requires_grad=True)
    group_major = x.unflatten(1, (fields, -1)).transpose(1, 2).flatten(1, 2)
    expected = theirs(_escnn.nn.GeometricTensor(x, theirs.in_type)).tensor
    found = ours(group_major).unflatten(1, (-1, fields)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    cotangent = torch.randn_like(found)
    gradients = [torch.autograd.grad((y * cotangent).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_the_gradient_of_the_activation_is_right():
    activation = FourierELU(sampling_matrix(group("SO2"), 8)).double()
    x = torch.randn(1, 14, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(activation, (x,))


def test_the_activation_equals_the_slow_sum():
    matrix = sampling_matrix(group("SO2"), ROTATIONS)
    x = torch.randn(1, 2 * 7, 1, 1, dtype=torch.float64)
    found = FourierELU(matrix).double()(x).view(7, 2)
    for field in range(2):
        samples = [float(row @ x.view(7, 2)[:, field]) for row in matrix]
        after = [float(F.elu(torch.tensor(value, dtype=torch.float64))) for value in samples]
        for coefficient in range(7):
            expected = (
                sum(v * float(row[coefficient]) for v, row in zip(after, matrix, strict=True)) / ROTATIONS
            )
            assert float(found[coefficient, field]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_activation_commutes_with_every_sampled_element_and_hardly_misses_others(name: str):
    G = group(name)
    activation, representation = FourierELU(sampling_matrix(G, ROTATIONS)).double(), field_representation(G)
    x = torch.randn(4, 3 * field_size(G), 1, 1, dtype=torch.float64)

    def error(element: object) -> float:
        matrix = torch.from_numpy(np.asarray(representation(element)))
        moved = torch.einsum("pc,bcf->bpf", matrix, x.view(4, -1, 3)).flatten(1)[..., None, None]
        expected = torch.einsum("pc,bcf->bpf", matrix, activation(x).view(4, -1, 3)).flatten(1)
        return float((activation(moved).flatten(1) - expected).norm() / expected.norm())

    assert max(error(g) for g in G.continuous_grid(ROTATIONS)) < 1e-6
    between = [error(G.continuous_grid(8 * ROTATIONS)[i]) for i in range(1, 8)]
    assert 1e-6 < max(between) < 0.05
