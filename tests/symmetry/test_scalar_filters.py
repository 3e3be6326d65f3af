import numpy as np
import pytest
import torch

from eqssl.symmetry import _escnn, group, group_names
from eqssl.symmetry.scalar_filters import grid_points, rings_and_frequencies, scalar_filters


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
def test_scalar_filters_span_the_filters_that_escnn_samples_for_the_trivial_group(kernel: int):
    gspace = group("trivial").gspace
    image = _escnn.nn.FieldType(gspace, [gspace.trivial_repr])
    convolution = _escnn.nn.R2Conv(image, image, kernel, bias=False, initialize=False)
    (block,) = convolution.basisexpansion.children()
    theirs = block.sampled_basis[:, 0, 0].double().numpy()
    ours = scalar_filters(kernel, grid_points(kernel))
    assert ours.shape == theirs.shape
    assert np.linalg.matrix_rank(ours) == len(ours)
    assert np.allclose(theirs @ np.linalg.pinv(ours) @ ours, theirs, atol=1e-6)


def test_a_kernel_of_three_has_a_centre_and_a_ring_with_frequencies_up_to_two():
    found = [(radius, frequency) for radius, _, frequency in rings_and_frequencies(3)]
    assert found == [(0, 0), (1, 0), (1, 1), (1, 2)]


def test_grid_points_are_where_pixels_lie_about_the_centre():
    # row by row from the top: x to the right, y up
    expected = torch.cartesian_prod(torch.tensor([1.0, 0, -1]), torch.tensor([-1.0, 0, 1])).flip(1)
    assert np.array_equal(grid_points(3), expected.numpy())


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("name", [name for name in group_names() if name not in ("SO2", "O2")])
def test_the_space_of_scalar_filters_is_mapped_to_itself_by_every_element(name: str, kernel: int):
    G, points = group(name), grid_points(kernel)
    # enough points for a filter to be known by its values, in general position
    more = np.concatenate([points, np.random.default_rng(0).uniform(-kernel, kernel, (200, 2))])
    filters = scalar_filters(kernel, more)
    for g in G.elements:
        turned = scalar_filters(kernel, more @ G.matrix(g))
        inside = turned @ np.linalg.pinv(filters) @ filters
        assert np.allclose(inside, turned, atol=1e-12)
