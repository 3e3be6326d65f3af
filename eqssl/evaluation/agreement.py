"""Whether a probe gives an image the same class however the image is moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from eqssl.evaluation.intervals import LEVELS, resampled_sums
from eqssl.evaluation.turned import TurnedImages

Classify = Callable[[Float[np.ndarray, "rows width"]], Int[np.ndarray, " rows"]]
"""Features to classes."""
PREFIXES = {"agreement": "invariant", "reg_agreement": "regular"}
"""Prefix of a metric's name -> the feature column that it is measured on."""


def agreements(
    turned: TurnedImages, classify: Mapping[str, Classify], resamples: int, seed: int
) -> dict[str, float]:
    """Agreement over the elements of D4 and over the angles, with intervals, on both feature columns.

    Args:
        turned: the moved images.
        classify: feature column -> the probe.
        resamples: number of bootstrap resamples of the images.
        seed: of the resamples.

    Returns:
        `agreement_grid` and `agreement_angle` on the invariant feature, `reg_agreement_...` on the regular
        one, each with `_lo` and `_hi`; nothing for moves that the file does not have.
    """
    metrics: dict[str, float] = {}
    for prefix, column in PREFIXES.items():
        if not turned.keys:
            continue
        predicted = np.stack([classify[column](part) for part in turned.parts(column)])
        for view in dict.fromkeys(move.view for move in turned.moves):
            moved = [move.view == view and not move.identity for move in turned.moves]
            share, low, high = agreement(predicted[0], predicted[moved], resamples, seed)
            name = f"{prefix}_{view}"
            metrics |= {name: share, f"{name}_lo": low, f"{name}_hi": high}
    return metrics


def agreement(
    unmoved: Int[np.ndarray, " images"],
    moved: Int[np.ndarray, "moves images"],
    resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """Share of pairs of an image and a move for which the class is that of the unmoved image.

    The interval is a 95 % bootstrap interval over images: a resample takes an image with all its moves.

    Args:
        unmoved: class of each image.
        moved: class of each image after each move; without the identity, which agrees always.
        resamples: number of resamples.
        seed: of the resamples.

    Returns:
        The share and the ends of its interval.

    >>> agreement(np.array([0, 1]), np.array([[0, 1], [0, 2]]), 200, 0)
    (0.75, 0.5, 1.0)
    """
    same: Bool[np.ndarray, "images moves"] = (moved == unmoved).T
    shares = resampled_sums(same, resamples, seed).sum(axis=1) / same.size
    low, high = np.quantile(shares, LEVELS)
    return float(same.mean()), float(low), float(high)
