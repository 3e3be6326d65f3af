"""How well the turn between two images can be read off their features, which needs no labels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from eqssl.evaluation.standardise import Standardiser
from eqssl.evaluation.turned import TurnedImages

NAMES = {"turn_r2": "regular", "turn_r2_invariant": "invariant"}
"""Name of a metric -> the feature column that it is measured on."""
COMPONENTS = 24
"""Principal components of a feature; a pair is described by those of both images and their products."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Strengths of the ridge, for each pair."""
LEAST, MOST = 40, 2000
"""Images that are needed, and most that are taken, so that memory stays bounded."""

Rows = Int[np.ndarray, " rows"]
Components = Float[np.ndarray, "turns images components"]


class Measured(NamedTuple):
    """What the regression gives.

    Attributes:
        metrics: `turn_r2` and `turn_r2_invariant`.
        details: how they came to be; empty without images.
        left_out: a sentence about what could not be measured.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    left_out: list[str]


class Parts(NamedTuple):
    """Numbers of the images that fit a regression, that choose its penalty, and that test it."""

    fit: Rows
    choose: Rows
    test: Rows


def measure_turns(turned: TurnedImages, seed: int) -> Measured:
    """Regress the turn between stored and turned images, on both feature columns.

    The turns are the 16 angles, and the quarter turns where images have corners and no angle is possible.

    Args:
        turned: the moved images.
        seed: of the draw of the images that fit, choose and test.

    Returns:
        The coefficients of determination; without images nothing, with too few of them the reason.
    """
    images = min(len(turned.keys), MOST)
    if not images:
        return Measured({}, {}, [])
    if images < LEAST:
        return Measured({}, {}, [f"turn of pairs: only {images} turned images, at least {LEAST} are needed"])
    degrees = [move.turn for move in turned.moves]
    chosen = turns_of(turned)
    parts = split_images(images, seed)
    metrics: dict[str, float] = {}
    details: dict[str, Any] = {"images": images, "degrees": [degrees[position] for position in chosen]}
    for name, column in NAMES.items():
        found = _components(turned, column, chosen, parts)
        metrics[name], details[name] = turn_r2(*found, np.array(details["degrees"]), parts)
    return Measured(metrics, details, [])


def turns_of(turned: TurnedImages) -> list[int]:
    """Positions among the moves of all turns that are taken: the angles, or else the quarter turns."""
    view = turned.moves[-1].view
    return [
        position for position, move in enumerate(turned.moves) if move.view == view and move.turn is not None
    ]


def split_images(images: int, seed: int) -> Parts:
    """Half of the images test. Three quarters of the others fit, and a quarter chooses the penalty.

    >>> [len(part) for part in split_images(500, 0)]
    [187, 63, 250]
    """
    order = np.random.Generator(np.random.Philox(key=[seed, images])).permutation(images)
    half = images // 2
    return Parts(order[: half * 3 // 4], order[half * 3 // 4 : half], order[half:])


def turn_r2(
    stored: Float[np.ndarray, "images components"],
    moved: Components,
    degrees: Float[np.ndarray, " turns"],
    parts: Parts,
) -> tuple[float, dict[str, Any]]:
    """R^2 of the ridge regression of (cos, sin) of the turn on two images' components and their products.

        (cos a, sin a) = W vec((1, z(x)) (1, z(a x))') + b

    Images of all orientations have a mean feature that no turn changes, so on the difference of two features,
    or on both side by side, a linear map finds nothing, whatever the encoder. On products it finds the turn:
    if z is exp(i phi), z(a x) conj(z(x)) is exp(i a).

    Args:
        stored: components z(x) of each image.
        moved: components z(a x) of each image after each turn a.
        degrees: the turns.
        parts: which images fit, choose and test, so that no image is in two of them.

    Returns:
        R^2 on the images that test, the mean of that of the cosine and that of the sine (`r2_score` of
        scikit-learn with `uniform_average`); and the chosen penalty for each pair, whether it lies on the
        edge of those that were tried, and the R^2 of each on the images that choose.
    """
    angles = np.deg2rad(degrees)
    targets = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    first, second = (
        np.pad(z, [(0, 0)] * (z.ndim - 1) + [(1, 0)], constant_values=1) for z in (stored, moved)
    )

    def pairs(rows: Rows) -> tuple[Float[np.ndarray, "pairs width"], Float[np.ndarray, "pairs 2"]]:
        products = first[None, rows, :, None] * second[:, rows, None, :]
        columns = first.shape[1] * second.shape[2]
        return products.reshape(-1, columns), np.repeat(targets, len(rows), axis=0)

    def fitted(x: Float[np.ndarray, "pairs width"], y: Float[np.ndarray, "pairs 2"], penalty: float) -> Ridge:
        return Ridge(alpha=penalty * len(x), solver="cholesky").fit(x, y)

    (x, y), (held, wanted) = pairs(parts.fit), pairs(parts.choose)
    path = [float(r2_score(wanted, fitted(x, y, penalty).predict(held))) for penalty in PENALTIES]
    best = len(path) - 1 - int(np.argmax(path[::-1]))  # of equals the strongest penalty
    final = fitted(np.concatenate([x, held]), np.concatenate([y, wanted]), PENALTIES[best])
    tested, actual = pairs(parts.test)
    edge = best in (0, len(PENALTIES) - 1)
    details = {"penalty": PENALTIES[best], "edge": edge, "path": path}
    return float(r2_score(actual, final.predict(tested))), details


def _components(
    turned: TurnedImages, column: str, chosen: list[int], parts: Parts
) -> tuple[Float[np.ndarray, "images components"], Components]:
    """Principal components of the unmoved images and of those after each chosen turn.

    Features are standardised, and their components found, by the unmoved images that fit and choose. Images
    then have components of length 1. One turn's features are in memory at a time.
    """
    images = sum(map(len, parts))
    known = np.concatenate([parts.fit, parts.choose])
    found = []
    for position, features in enumerate(turned.parts(column, images)):
        if position == 0:  # the identity
            standardiser = Standardiser.fit(features[known])
            most = min(COMPONENTS, len(known), features.shape[1])
            with np.errstate(invalid="ignore"):  # shares of the variance, where there is none
                analysis = PCA(most, svd_solver="full").fit(standardiser(features[known]).astype(np.float64))
            stored = _unit(analysis, standardiser, features)
        if position in chosen:
            found.append(_unit(analysis, standardiser, features))
    return stored, np.stack(found)


def _unit(
    analysis: PCA, standardiser: Standardiser, features: Float[np.ndarray, "images width"]
) -> Float[np.ndarray, "images components"]:
    """Components scaled to a mean square of 1 in each image; zeros stay zeros."""
    values = analysis.transform(standardiser(features).astype(np.float64))
    length = np.linalg.norm(values, axis=1, keepdims=True) / math.sqrt(values.shape[1])
    scaled: np.ndarray = np.divide(values, length, out=np.zeros_like(values), where=length > 1e-9)
    return scaled
