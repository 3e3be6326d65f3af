"""Closed-form ridge classifiers for all strengths at once, from one pass over the features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from eqssl.config.sources import SplitName
from eqssl.data.shards.index import UNLABELLED
from eqssl.evaluation.parquet import iterate_features, read_info
from eqssl.evaluation.standardise import Standardiser


@dataclass(frozen=True)
class LinearProbe:
    """A linear map from standardised features to scores of the classes."""

    weights: Float[np.ndarray, "width classes"]
    bias: Float[np.ndarray, " classes"]

    def scores(self, features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows classes"]:
        """Estimates of the +-1 targets."""
        scores: np.ndarray = features @ self.weights + self.bias
        return scores

    def predict(self, features: Float[np.ndarray, "rows width"]) -> Int[np.ndarray, " rows"]:
        """Class of the highest score; the first one on a tie."""
        best: np.ndarray = self.scores(features).argmax(axis=1)
        return best

    def rounded(self, dtype: np.dtype[Any]) -> LinearProbe:
        """With numbers of another precision; products with features of that precision are quickest."""
        return LinearProbe(self.weights.astype(dtype), self.bias.astype(dtype))


@dataclass(frozen=True)
class Moments:
    """Sums over images of features x and targets y (+1 for the image's class, -1 for others), in float64.

    Attributes:
        count: number of images.
        x, y: sums of x - shift and of y.
        xx, xy: sums of (x - shift)(x - shift)' and of (x - shift) y'.
        shift: subtracted from every x, so that large means cost no precision.
    """

    count: int
    x: Float[np.ndarray, " width"]
    y: Float[np.ndarray, " classes"]
    xx: Float[np.ndarray, "width width"]
    xy: Float[np.ndarray, "width classes"]
    shift: Float[np.ndarray, " width"]

    @classmethod
    def of(
        cls,
        batches: Iterable[tuple[Float[np.ndarray, "rows width"], Int[np.ndarray, " rows"]]],
        classes: int,
        width: int,
        shift: Float[np.ndarray, " width"] | None = None,
    ) -> Self:
        """Sum over batches of features and labels; memory does not grow with their number.

        Without a shift, the mean of the first batch is subtracted.
        """
        count, x, y = 0, np.zeros(width), np.zeros(classes)
        xx, xy = np.zeros((width, width)), np.zeros((width, classes))
        for features, labels in batches:
            if shift is None:
                shift = features.mean(axis=0, dtype=np.float64)
            centred = features - shift
            targets = np.full((len(labels), classes), -1.0)
            targets[np.arange(len(labels)), labels] = 1.0
            count += len(labels)
            x += centred.sum(axis=0)
            y += targets.sum(axis=0)
            xx += centred.T @ centred
            xy += centred.T @ targets
        return cls(count, x, y, xx, xy, np.zeros(width) if shift is None else shift)

    def standardiser(self) -> Standardiser:
        """Mean and deviation of the features."""
        offset = self.x / self.count
        variance = self.xx.diagonal() / self.count - offset**2
        return Standardiser.of(offset + self.shift, np.sqrt(variance.clip(min=0)))

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of images."""
        return Moments(
            count=self.count + other.count,
            x=self.x + other.x,
            y=self.y + other.y,
            xx=self.xx + other.xx,
            xy=self.xy + other.xy,
            shift=self.shift,
        )


def ridge_path(moments: Moments, standardiser: Standardiser, strengths: Sequence[float]) -> list[LinearProbe]:
    """Ridge classifiers on standardised features, one for each strength, from one eigendecomposition.

        minimise  mean_i |y_i - W' z_i - b|^2 + strength |W|^2,    z the standardised features

    which is scikit-learn's RidgeClassifier with alpha = strength * n. The intercept is not penalised.

    Args:
        moments: moments of the training images, for features that are not standardised.
        standardiser: standardiser that was fitted on the training images.
        strengths: lambda of each probe.
    """
    scale, n = standardiser.scale, moments.count
    mean_x, mean_y = moments.x / n, moments.y / n
    covariance = (moments.xx / n - np.outer(mean_x, mean_x)) * np.outer(scale, scale)
    cross = (moments.xy / n - np.outer(mean_x, mean_y)) * scale[:, None]
    centre = (mean_x + moments.shift - standardiser.mean) * scale
    values, vectors = np.linalg.eigh(covariance)
    rotated = vectors.T @ cross
    probes = []
    for strength in strengths:
        weights = vectors @ (rotated / (values.clip(min=0) + strength)[:, None])
        probes.append(LinearProbe(weights, mean_y - centre @ weights))
    return probes


def ridge_accuracies(
    files: Mapping[SplitName, Path], column: str, classes: int, strengths: Sequence[float]
) -> dict[str, Any]:
    """Fit on the training file, choose on the validation file, refit on both, and test.

    Files are read in bounded batches, each once and the validation file twice, so memory does not grow with
    the number of images. On equal accuracy the stronger penalty is chosen. Images without a label do not take
    part.

    Args:
        files: the feature files of `train`, `val` and `test`.
        column: feature column.
        classes: number of classes.
        strengths: descending lambdas.

    Returns:
        The chosen `strength`, its validation `accuracy`, whether it lies on the `edge` of the strengths, all
        validation accuracies (`path`), and the accuracy on each view of the test images (`test`).
    """
    width = read_info(files["train"]).widths[column]
    train = Moments.of(_batches(files["train"], column), classes, width)
    standardiser = train.standardiser()
    val = Moments.of(_batches(files["val"], column), classes, width, train.shift)
    path = _accuracies(
        ridge_path(train, standardiser, strengths), standardiser, _batches(files["val"], column)
    )
    best = int(np.argmax(path))
    final = ridge_path(train + val, standardiser, strengths[best : best + 1])[0]
    return {
        "strength": float(strengths[best]),
        "accuracy": path[best],
        "edge": best in (0, len(strengths) - 1),
        "path": path,
        "test": _test_accuracies(files["test"], column, standardiser, final),
    }


def _accuracies(
    probes: Sequence[LinearProbe],
    standardiser: Standardiser,
    batches: Iterable[tuple[Float[np.ndarray, "rows width"], Int[np.ndarray, " rows"]]],
) -> list[float]:
    """The accuracy of each probe, in one pass."""
    correct, total = [0] * len(probes), 0
    for features, labels in batches:
        scaled = standardiser(features).astype(np.float64)
        total += len(labels)
        for number, probe in enumerate(probes):
            correct[number] += int((probe.predict(scaled) == labels).sum())
    return [count / total for count in correct]


def _batches(
    path: Path, column: str
) -> Iterator[tuple[Float[np.ndarray, "rows width"], Int[np.ndarray, " rows"]]]:
    for batch in iterate_features(path, ["label", column]):
        features, labels = batch[column], batch["label"]
        rows = labels != UNLABELLED
        if rows.all():
            yield features, labels
        elif rows.any():
            yield features[rows], labels[rows]


def _test_accuracies(
    path: Path, column: str, standardiser: Standardiser, probe: LinearProbe
) -> dict[str, float]:
    correct: dict[str, int] = {}
    total: dict[str, int] = {}
    for batch in iterate_features(path, ["label", "view", column]):
        right = probe.predict(standardiser(batch[column])) == batch["label"]
        known = batch["label"] != UNLABELLED
        for view in np.unique(batch["view"][known]).tolist():
            rows = known & (batch["view"] == view)
            correct[view] = correct.get(view, 0) + int(right[rows].sum())
            total[view] = total.get(view, 0) + int(rows.sum())
    return {view: correct[view] / total[view] for view in total}
