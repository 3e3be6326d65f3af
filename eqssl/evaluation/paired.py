"""Paired differences of accuracies over seeds and test images: interval, p-value, correction for many claims.

A difference is a table d of seeds times test images: how much better the one cell did on image i with seed s.
All seeds share the test images, so seeds and images are crossed, not nested:

    d[s, i] = mean + seed[s] + image[i] + rest[s, i]

Both are samples: another training would have other seeds, another test set other images. An interval that
resamples the images alone says nothing about another training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import permutation_test
from scipy.stats import t as student

Table = Float[np.ndarray, "seeds images"]
LEVEL = 0.95
MOST_SIGNS = 16
"""Up to so many seeds every choice of signs is tried; above, a test over seeds needs no exactness."""


class Difference(NamedTuple):
    """A mean difference of accuracies, in shares (0.01 is one point).

    Attributes:
        mean: over seeds and images.
        low, high: ends of its 95 % interval; both are the mean where there is nothing to vary.
        p: two-sided p-value of no difference; None with one seed and no images.
        sign_flip: exact two-sided p-value over the signs of the seeds' differences; at least 2 / 2^seeds.
        seeds: the difference of each seed.
        images: number of test images over which it was paired; None if only the accuracies were known, and
            the images count as given.
    """

    mean: float
    low: float
    high: float
    p: float | None
    sign_flip: float
    seeds: tuple[float, ...]
    images: int | None


class _Variance(NamedTuple):
    """An estimated variance of a mean, and the degrees of freedom of the estimate."""

    value: float
    freedom: float


def paired_difference(table: Table) -> Difference:
    """The mean of a table of differences, with an interval over seeds and images.

    The variance of the mean is that of two crossed random factors,

        V = var(mean of each seed) / S + var(mean of each image) / N - var(rest) / (S N),

    each term with its own divisor, and the interval is Student's with the degrees of freedom of Satterthwaite
    (1946, Biometrics Bulletin 2). With few seeds a percentile bootstrap over seeds and images is too narrow
    (`hierarchical_bootstrap`, which the tests compare), as it takes S for S - 1 and the normal for Student's
    distribution. With one seed the interval is over images alone.

    Args:
        table: differences of seeds times images; at least two images.

    Example:
        >>> import numpy as np
        >>> d = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
        >>> paired_difference(d).mean
        0.5
    """
    values = np.asarray(table, float)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ValueError(f"table: given shape {values.shape}, allowed: at least one seed and two images")
    if not np.isfinite(values).all():
        raise ValueError("table: holds a number that is not finite")
    return _difference(values.mean(axis=1), _variance(values), values.shape[1])


def seed_difference(differences: Sequence[float]) -> Difference:
    """The mean of the seeds' differences, with Student's interval over seeds; the test images count as given.

    Args:
        differences: at least one; of one seed the interval is not known, and its ends are infinite.
    """
    values = np.asarray(differences, float)
    if len(values) < 1 or not np.isfinite(values).all():
        raise ValueError("differences: allowed: finite numbers, one for each seed")
    count = len(values)
    value = float(values.var(ddof=1) / count) if count > 1 else float("inf")
    return _difference(values, _Variance(value, count - 1), None)


def _difference(seeds: Float[np.ndarray, " seeds"], variance: _Variance, images: int | None) -> Difference:
    mean, error = float(seeds.mean()), float(np.sqrt(variance.value))
    if not np.isfinite(error):
        return Difference(mean, -np.inf, np.inf, None, sign_flip(seeds), tuple(seeds.tolist()), images)
    half = float(student.ppf((1 + LEVEL) / 2, variance.freedom)) * error if error else 0.0
    p = 1.0 if not mean else 0.0
    if error:
        p = float(2 * student.sf(abs(mean) / error, variance.freedom))
    return Difference(mean, mean - half, mean + half, p, sign_flip(seeds), tuple(seeds.tolist()), images)


def _variance(table: Table) -> _Variance:
    """Variance of the mean of a table of two crossed random factors."""
    seeds, images = table.shape
    of_image = table.mean(axis=0)
    by_image = _Variance(of_image.var(ddof=1) / images, images - 1)
    if seeds == 1:
        return by_image
    of_seed = table.mean(axis=1)
    by_seed = _Variance(of_seed.var(ddof=1) / seeds, seeds - 1)
    rest = table - of_seed[:, None] - of_image + table.mean()
    freedom = (seeds - 1) * (images - 1)
    by_rest = _Variance((rest**2).sum() / freedom / (seeds * images), freedom)
    value = by_seed.value + by_image.value - by_rest.value
    # by chance the difference can be below one of its terms, which a variance of the mean cannot be
    value = max(value, by_seed.value, by_image.value)
    if not value:
        return _Variance(0.0, freedom)
    spread = sum(term.value**2 / term.freedom for term in (by_seed, by_image, by_rest))
    return _Variance(float(value), float(value**2 / spread))


def hierarchical_bootstrap(table: Table, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean: seeds and images are both drawn with replacement.

    Every resample draws S of the S seeds and N of the N images, the same images for all seeds (the pigeonhole
    bootstrap of crossed factors, Owen 2007, Annals of Applied Statistics 1(2)). For many seeds; with five it
    covers too little.

    Args:
        table: differences of seeds times images.
        resamples: number of resamples.
        seed: of the resamples (Philox).
    """
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    seeds, images = table.shape
    of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    means = np.empty(resamples)
    for number in range(resamples):  # one row of counts at a time: they would be resamples x images
        drawn = np.bincount(random.integers(images, size=images), minlength=images)
        means[number] = of_seeds[number] @ (table @ drawn) / images
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_flip(differences: Sequence[float] | Float[np.ndarray, " seeds"]) -> float:
    """Two-sided p-value of the mean over all 2^S choices of the seeds' signs (Fisher 1935, section 21).

    It is exact if a difference of no effect is as likely as its negative. With S seeds it is at least
    2 / 2^S: five seeds can reach 0.0625, so that it cannot decide alone at 0.05. With more than 16 seeds
    65,536 random choices stand for all.
    """
    values = np.asarray(differences, float)
    if len(values) == 1:
        return 1.0
    result = permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if len(values) <= MOST_SIGNS else 2**MOST_SIGNS - 1,
        rng=0,
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: Holm (1979, Scandinavian Journal of Statistics 6).

    Rejecting those at most 0.05 rejects any true hypothesis with a probability of at most 0.05, whatever
    depends on what.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * factors))
    return [float(value) for value in adjusted]
