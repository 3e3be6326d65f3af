"""What every kind of probe has in common: what it is given, what it gives, and its registry's interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from eqssl.config.evaluation import ProbeSettings


class Rows(NamedTuple):
    """Standardised features of images, and their classes."""

    features: Float[np.ndarray, "rows width"]
    labels: Int[np.ndarray, " rows"]

    def part(self, rows: Int[np.ndarray, " part"]) -> Rows:
        """Some of the rows."""
        return Rows(self.features[rows], self.labels[rows])

    def joined(self, other: Rows) -> Rows:
        """The rows of both."""
        return Rows(
            np.concatenate([self.features, other.features]), np.concatenate([self.labels, other.labels])
        )


class Probe(Protocol):
    """A fitted classifier."""

    def predict(self, features: Float[np.ndarray, "rows width"], /) -> Int[np.ndarray, " rows"]:
        """Class of each row."""


@dataclass(frozen=True)
class Chosen:
    """The probe that validation data chose.

    Attributes:
        probe: the fitted classifier.
        record: how it was chosen, for metrics.json: `strength`, validation `accuracy`, whether it lies on the
            `edge` of the strengths, and the `path`; with `refit`, that too.
    """

    probe: Probe
    record: dict[str, Any]


class Choose(Protocol):
    """A kind of probe: fits one for each strength on training rows and chooses by validation accuracy."""

    def __call__(self, train: Rows, held: Rows, settings: ProbeSettings, refit: bool) -> Chosen:
        """Fit and choose.

        Args:
            train: training rows; each class occurs.
            held: validation rows.
            settings: strengths, tolerance and iterations.
            refit: whether to fit the chosen probe again on all rows.
        """


def strengths(settings: ProbeSettings) -> list[float]:
    """The strengths lambda of a path, from the strongest to the weakest, in equal ratios."""
    least, largest, count = settings.strengths
    return [float(strength) for strength in np.geomspace(largest, least, count)]
