"""A ridge classifier in closed form, for all strengths from one eigendecomposition."""

from __future__ import annotations

import numpy as np

from eqssl.config.evaluation import ProbeSettings
from eqssl.evaluation.classifiers.base import Chosen, Rows, strengths
from eqssl.evaluation.ridge import LinearProbe, Moments, ridge_path
from eqssl.evaluation.standardise import Standardiser

BLOCK = 4096
"""Rows that are in float64 at a time."""


def choose(train: Rows, held: Rows, settings: ProbeSettings, refit: bool) -> Chosen:
    """Fit, choose and refit (see `Choose`). Nothing iterates, so there is no convergence to record."""
    width, classes = train.features.shape[1], int(train.labels.max()) + 1
    as_it_is = Standardiser(np.zeros(width), np.ones(width))
    tried = strengths(settings)
    moments = _moments(train, classes)
    probes = ridge_path(moments, as_it_is, tried)
    accuracies = [_accuracy(probe, held) for probe in probes]
    best = int(np.argmax(accuracies))  # the first, the strongest penalty
    record = {
        "strength": tried[best],
        "accuracy": accuracies[best],
        "edge": best in (0, len(tried) - 1),
        "ended": None,
        "path": {"strength": tried, "accuracy": accuracies},
    }
    if not refit:
        return Chosen(probes[best], record)
    both = moments + _moments(held, classes)
    return Chosen(ridge_path(both, as_it_is, tried[best : best + 1])[0], record)


def _moments(rows: Rows, classes: int) -> Moments:
    width = rows.features.shape[1]
    parts = (slice(start, start + BLOCK) for start in range(0, len(rows.labels), BLOCK))
    batches = ((rows.features[part], rows.labels[part]) for part in parts)
    return Moments.of(batches, classes, width, np.zeros(width))


def _accuracy(probe: LinearProbe, rows: Rows) -> float:
    return float(np.mean(probe.predict(rows.features) == rows.labels))
