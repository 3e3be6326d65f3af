import numpy as np
import pytest

from eqssl.symmetry.canonical import STEP, canonical_basis, in_float32, rounded
from eqssl.symmetry.scalar_filters import grid_points, scalar_filters


def some_rows(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, 12)) / 12**0.5


def rotation(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


AXES = np.random.default_rng(9).standard_normal((20, 12))
FILTERS = scalar_filters(5, grid_points(5))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("rows", "axes"), [(some_rows(), AXES), (FILTERS, FILTERS)], ids=["random", "filters"]
)
def test_bases_of_one_span_have_the_same_canonical_basis_to_the_bit(
    rows: np.ndarray, axes: np.ndarray, seed: int
):
    expected = rounded(canonical_basis(rows, axes))
    found = rounded(canonical_basis(rotation(len(rows), seed) @ rows, axes))
    assert np.array_equal(found, expected)
    # more vectors than the space has dimensions
    dependent = rotation(2 * len(rows), seed)[:, : len(rows)] @ rows
    assert np.array_equal(rounded(canonical_basis(dependent, axes)), expected)


def test_the_canonical_basis_is_orthonormal_and_spans_the_same_space():
    rows = some_rows()
    basis = canonical_basis(rows, AXES)
    assert np.allclose(basis @ basis.T, np.eye(5), atol=1e-14)
    assert np.allclose(rows @ basis.T @ basis, rows, atol=1e-14)


def test_the_rows_are_what_gram_schmidt_makes_of_the_projected_axes():
    rows = some_rows()
    projected = AXES @ np.linalg.pinv(rows) @ rows
    triangle = np.linalg.qr(projected[:5].T)
    expected = triangle.Q.T * np.sign(np.diag(triangle.R))[:, None]
    assert np.allclose(canonical_basis(rows, AXES), expected, atol=1e-13)


def test_the_lengths_of_axes_and_axes_that_add_nothing_do_not_matter():
    rows = some_rows()
    basis = canonical_basis(rows, AXES)
    assert np.allclose(canonical_basis(rows, 3 * AXES), basis, atol=1e-14)
    outside = np.linalg.svd(rows)[2][5:]
    more = np.concatenate([outside, AXES[:1], 2 * AXES[:1], AXES[1:]])
    assert np.allclose(canonical_basis(rows, more), basis, atol=1e-14)


def test_an_empty_span_has_an_empty_basis():
    assert canonical_basis(np.full((2, 3), 1e-16), np.eye(3)).shape == (0, 3)


def test_a_dimension_that_rounding_decides_is_refused():
    rows = some_rows()
    rows[4] = rows[3] + 1e-9 * rows[4]
    with pytest.raises(ValueError, match="the dimension is not clear, given singular values"):
        canonical_basis(rows, AXES)


def test_an_axis_that_rounding_decides_is_refused():
    axes = np.array([[1.0, 0.0], [1.0, 1e-9], [0.0, 1.0]])
    with pytest.raises(ValueError, match="whether an axis adds something is not clear, given a rest of"):
        canonical_basis(np.eye(2), axes)


def test_axes_that_do_not_reach_the_whole_space_are_refused():
    with pytest.raises(ValueError, match="the axes reach 1 of 2 dimensions"):
        canonical_basis(np.eye(2), np.array([[1.0, 0.0]]))


def test_numbers_in_float32_are_the_nearest_that_float32_holds():
    numbers = np.random.default_rng(0).uniform(-3, 3, 1000)
    found = in_float32(numbers)
    assert np.array_equal(found.astype(np.float32), found)
    assert np.array_equal(found, numbers.astype(np.float32))


def test_rounded_numbers_are_multiples_that_float32_holds():
    numbers = np.random.default_rng(0).uniform(-1, 1, 1000)
    found = rounded(numbers)
    assert np.abs(found - numbers).max() <= STEP / 2
    assert np.array_equal(found.astype(np.float32), found)
    assert np.array_equal(found, rounded(numbers + 1e-15))
    assert not np.signbit(rounded(np.array([-1e-12]))).any()
