from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from eqssl.evaluation import knn
from eqssl.evaluation.knn import highest, knn_predict


def data(seed=0, gallery=700, queries=90, width=10):
    random = np.random.default_rng(seed)
    y = random.integers(4, size=gallery)
    points = random.standard_normal((4, width))
    g = (points[y] + 1.5 * random.standard_normal((gallery, width))).astype(np.float32)
    q = (points[np.arange(queries) % 4] + 1.5 * random.standard_normal((queries, width))).astype(np.float32)
    return q, g, y


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.07), (5, 0.5), (1, 0.07), (700, 0.2)])
@pytest.mark.parametrize("block", [2_000_000, 700, 5_000])
def test_nearest_neighbours_are_scikit_learns_classifier(monkeypatch, k, temperature, block):
    monkeypatch.setattr(knn, "BLOCK_NUMBERS", block)
    q, g, y = data()
    reference = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / temperature)
    ).fit(g.astype(np.float64), y)
    assert np.array_equal(knn_predict(q, g, y, 4, k, temperature), reference.predict(q.astype(np.float64)))


def test_the_weights_of_neighbours_can_outvote_their_number():
    # one image at the query, two of another class further away
    gallery = np.array([[1, 0.01], [1, 1], [1, 1.1]], np.float32)
    query = np.array([[1.0, 0.0]], np.float32)
    labels = np.array([1, 0, 0])
    assert knn_predict(query, gallery, labels, 2, 3, 0.07).tolist() == [1]
    assert knn_predict(query, gallery, labels, 2, 3, 100.0).tolist() == [0]
    # neither does a small temperature overflow, nor the length of a feature count
    assert knn_predict(1000 * query, gallery, labels, 2, 3, 1e-4).tolist() == [1]


def test_a_query_of_zeros_still_gets_a_class():
    q, g, y = data()
    q[0] = 0
    assert 0 <= knn_predict(q, g, y, 4, 5, 0.07)[0] < 4


@pytest.mark.parametrize(
    ("columns", "count"), [(1000, 20), (64, 20), (40, 20), (20, 20), (3333, 1), (5000, 77)]
)
def test_highest_is_a_stable_sort(columns, count):
    random = np.random.default_rng(columns)
    for values in (
        random.standard_normal((30, columns)),
        random.integers(6, size=(30, columns)).astype(float),
    ):
        values = values.astype(np.float32)
        places, found = highest(values, count)
        expected = np.argsort(-values, axis=1, kind="stable")[:, :count]
        assert np.array_equal(places, expected)
        assert np.array_equal(found, np.take_along_axis(values, expected, 1))


def test_more_neighbours_than_images_is_an_error():
    q, g, y = data(gallery=10)
    with pytest.raises(ValueError, match=r"probe\.neighbours: given 11, but there are 10 training images"):
        knn_predict(q, g, y, 4, 11, 0.07)
