"""The nearest training images of some test images, which need no labels; the report draws them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from eqssl.config.sources import SplitName
from eqssl.evaluation.knn import highest, unit
from eqssl.evaluation.parquet import iterate_features

QUERIES, NEIGHBOURS = 6, 6
"""How many test images, and how many training images for each; fewer if there are fewer."""
COLUMN = "invariant"


def nearest_images(files: Mapping[SplitName, Path]) -> list[dict[str, Any]]:
    """For some test images, the training images of highest cosine similarity of the invariant feature.

    The test images are those with the smallest SHA-256 hashes of their keys, so all cells of a data set have
    the same ones. Files are read in bounded batches. Of equal similarities the image that comes first counts.

    Args:
        files: the feature files of `train` and `test`.

    Returns:
        For each test image its `key`, and `neighbours`, pairs of a key and a similarity, the nearest first.
    """
    keys, features = _queries(files["test"])
    if not keys:
        return []
    queries = unit(features)
    found = np.empty((len(keys), 0), object)
    similarity = np.empty((len(keys), 0), np.float32)
    for batch in iterate_features(files["train"], [COLUMN]):
        names = np.array(batch["key"], object)
        found = np.concatenate([found, np.tile(names, (len(keys), 1))], axis=1)
        similarity = np.concatenate([similarity, queries @ unit(batch[COLUMN]).T], axis=1)
        columns, similarity = highest(similarity, min(NEIGHBOURS, similarity.shape[1]))
        found = np.take_along_axis(found, columns, axis=1)
    pairs = zip(keys, found.tolist(), similarity.tolist(), strict=True)
    return [
        {"key": key, "neighbours": [list(pair) for pair in zip(names, values, strict=True)]}
        for key, names, values in pairs
    ]


def _queries(path: Path) -> tuple[list[str], Float[np.ndarray, "queries width"]]:
    """Keys and features of the chosen test images, as stored."""
    chosen: list[tuple[bytes, str, np.ndarray[Any, Any]]] = []
    for batch in iterate_features(path, ["view", COLUMN]):
        stored = np.flatnonzero(batch["view"] == "stored").tolist()
        rows = [(hashlib.sha256(batch["key"][i].encode()).digest(), i) for i in stored]
        new = [(order, batch["key"][i], batch[COLUMN][i].copy()) for order, i in nsmallest(QUERIES, rows)]
        chosen = nsmallest(QUERIES, chosen + new, key=lambda entry: entry[0])
    return [key for _, key, _ in chosen], np.stack([feature for *_, feature in chosen] or [np.empty(0)])
