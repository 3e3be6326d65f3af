"""Features with mean 0 and standard deviation 1 on the fitting split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Standardiser:
    """Subtracts each feature's mean and divides by its standard deviation, both of the fitted images.

    A feature that hardly varies (less than 1e-6 of its size, the rounding of float32) becomes 0, not noise.
    """

    mean: Float[np.ndarray, " width"]
    scale: Float[np.ndarray, " width"]

    @classmethod
    def fit(cls, features: Float[np.ndarray, "rows width"]) -> Self:
        """Measure mean and deviation, summing in float64."""
        return cls.of(features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64))

    @classmethod
    def of(cls, mean: Float[np.ndarray, " width"], deviation: Float[np.ndarray, " width"]) -> Self:
        """From mean and deviation, both in float64."""
        varies = deviation > 1e-6 * np.abs(mean)
        return cls(mean, np.divide(1.0, deviation, out=np.zeros_like(mean), where=varies))

    def __call__(self, features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows width"]:
        """Standardise; float32, to the last bit as scikit-learn's StandardScaler does."""
        never = np.full_like(self.scale, np.inf)  # a feature that does not vary becomes 0
        deviation = np.divide(1.0, self.scale, out=never, where=self.scale > 0)
        scaled: np.ndarray = features - self.mean.astype(np.float32)
        scaled /= deviation.astype(np.float32)
        return scaled
