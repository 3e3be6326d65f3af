"""A linear classifier of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class LinearProbe:
    """Scores of the classes, linear in standardised features."""

    weights: Float[np.ndarray, "width classes"]
    bias: Float[np.ndarray, " classes"]

    def scores(self, features: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows classes"]:
        """Score of each class: for ridge an estimate of +-1, else a log-probability."""
        scores: np.ndarray = features @ self.weights + self.bias
        return scores

    def predict(self, features: Float[np.ndarray, "rows width"]) -> Int[np.ndarray, " rows"]:
        """Class of the highest score; the first one on a tie."""
        best: np.ndarray = self.scores(features).argmax(axis=1)
        return best
