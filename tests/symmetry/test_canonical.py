import numpy as np
import pytest

from eqssl.symmetry.canonical import STEP, canonical_basis, rounded
from eqssl.symmetry.scalar_filters import grid_points, scalar_filters


def some_rows(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, 12)) / 12**0.5


def rotation(size: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [some_rows(), scalar_filters(5, grid_points(5))], ids=["random", "filters"])
def test_bases_of_one_span_have_the_same_canonical_basis_to_the_bit(rows: np.ndarray, seed: int):
    expected = rounded(canonical_basis(rows))
    found = rounded(canonical_basis(rotation(len(rows), seed) @ rows))
    assert np.array_equal(found, expected)
    # more vectors than the space has dimensions
    dependent = rotation(2 * len(rows), seed)[:, : len(rows)] @ rows
    assert np.array_equal(rounded(canonical_basis(dependent)), expected)


def test_the_canonical_basis_is_orthonormal_and_spans_the_same_space():
    rows = some_rows()
    basis = canonical_basis(rows)
    assert np.allclose(basis @ basis.T, np.eye(5), atol=1e-14)
    assert np.allclose(rows @ basis.T @ basis, rows, atol=1e-14)


def test_the_first_row_is_the_longest_column_of_the_projection():
    rows = some_rows()
    projection = np.linalg.pinv(rows) @ rows
    longest = projection[:, np.argmax(np.diag(projection))]
    assert np.allclose(canonical_basis(rows)[0], longest / np.linalg.norm(longest), atol=1e-14)


def test_equally_long_columns_are_taken_from_the_first():
    # all columns of the projection onto a space of all coordinates are equally long
    assert np.array_equal(rounded(canonical_basis(rotation(4, 0))), np.eye(4))


def test_an_empty_span_has_an_empty_basis():
    assert canonical_basis(np.full((2, 3), 1e-16)).shape == (0, 3)


def test_a_dimension_that_rounding_decides_is_refused():
    rows = some_rows()
    rows[4] = rows[3] + 1e-9 * rows[4]
    with pytest.raises(ValueError, match="the dimension is not clear, given singular values"):
        canonical_basis(rows)


def test_a_longest_column_that_rounding_decides_is_refused():
    line = np.array([[1.0, 1.0 + 1e-9]]) / 2**0.5
    with pytest.raises(ValueError, match="the longest column is not clear, given relative distances"):
        canonical_basis(line)


def test_rounded_numbers_are_multiples_that_float32_holds():
    numbers = np.random.default_rng(0).uniform(-1, 1, 1000)
    found = rounded(numbers)
    assert np.abs(found - numbers).max() <= STEP / 2
    assert np.array_equal(found.astype(np.float32), found)
    assert np.array_equal(found, rounded(numbers + 1e-15))
    assert not np.signbit(rounded(np.array([-1e-12]))).any()
