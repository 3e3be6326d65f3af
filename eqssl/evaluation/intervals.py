"""Paired 95 % bootstrap percentile intervals: all metrics of a cell use the same resamples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

LEVELS = (0.025, 0.975)
_BLOCK_NUMBERS = 4_000_000


def accuracy_intervals(
    correct: Sequence[Bool[np.ndarray, "draws images"]], resamples: int, seed: int
) -> Float[np.ndarray, "metrics 2"]:
    """Interval of each mean accuracy over test images, and over draws if there are several.

    Each resample takes n of the n images with replacement, the same ones for every metric, and D of the D
    draws with replacement, the same ones for every metric with D draws. Its accuracy is the mean over both
    (Efron & Tibshirani 1993, An Introduction to the Bootstrap, sections 8.3 and 13.3). With one draw this is
    the ordinary bootstrap over images.

    Args:
        correct: for each metric, whether each draw's probe classified each test image correctly.
        resamples: number of resamples.
        seed: seed of the resamples (Philox).

    Returns:
        Lower and upper end of each metric's interval.
    """
    images = correct[0].shape[1]
    sums = resampled_sums(np.concatenate(correct).T, resamples, seed)
    ends = np.empty((len(correct), 2))
    first = 0
    for metric, values in enumerate(correct):
        draws = len(values)
        weights = _draw_counts(draws, resamples, seed) / draws
        accuracy = (weights * sums[:, first : first + draws]).sum(axis=1) / images
        ends[metric] = np.quantile(accuracy, LEVELS)
        first += draws
    return ends


def bin_intervals(
    correct: Bool[np.ndarray, " images"], bins: Bool[np.ndarray, "bins images"], resamples: int, seed: int
) -> Float[np.ndarray, "bins 2"]:
    """Interval of the accuracy within each set of images, over the same resamples of all images.

    Args:
        correct: whether each image was classified correctly.
        bins: for each set, which images belong to it; none may be empty.
        resamples: number of resamples.
        seed: seed of the resamples.
    """
    sums = resampled_sums(np.concatenate([bins & correct, bins]).T, resamples, seed)
    hits, members = sums[:, : len(bins)], sums[:, len(bins) :]
    with np.errstate(invalid="ignore"):
        accuracy = hits / members  # nan where a resample left the set empty
    ends: np.ndarray = np.nanquantile(accuracy, LEVELS, axis=0).T
    return ends


def resampled_sums(
    columns: Bool[np.ndarray, "images columns"], resamples: int, seed: int
) -> Float[np.ndarray, "resamples columns"]:
    """Sum of each column over the images of each resample: the matrix of counts times the columns.

    The resamples depend on the seed and on the number of images, not on the columns.
    """
    # whole numbers below 2^24: float32 sums are exact
    values = np.ascontiguousarray(columns, np.float32)
    blocks = [counts @ values for counts in _image_counts(len(columns), resamples, seed)]
    return np.concatenate(blocks).astype(np.float64)


def _image_counts(images: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "block images"]]:
    """How often each resample contains each image (multinomial counts), in blocks of resamples."""
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    block = max(1, _BLOCK_NUMBERS // images)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = random.integers(images, size=(size, images))
        drawn += np.arange(size)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.float32)


def _draw_counts(draws: int, resamples: int, seed: int) -> Float[np.ndarray, "resamples draws"]:
    """How often each resample contains each draw."""
    random = np.random.Generator(np.random.Philox(key=[seed, draws]))
    drawn = random.integers(draws, size=(resamples, draws))
    counts: np.ndarray = (drawn[:, :, None] == np.arange(draws)).sum(axis=1)
    return counts.astype(np.float64)
