"""Probes of every kind on every feature column, for every share of the labels and every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from eqssl.config.evaluation import Classifier, ProbeSettings
from eqssl.evaluation.classifiers import CLASSIFIERS
from eqssl.evaluation.classifiers.base import Probe, Rows
from eqssl.evaluation.draws import nested_draws
from eqssl.evaluation.parquet import FeatureTable
from eqssl.evaluation.standardise import Standardiser
from eqssl.machine.live.progress import track


class Probeable(Protocol):
    """Features that probes can be fitted on and tested with.

    Attributes:
        train, val: training and validation images.
        classes: names of the classes.
        columns: names of the feature columns of `train`, `val` and the test images.
    """

    @property
    def train(self) -> FeatureTable: ...  # noqa: D102

    @property
    def val(self) -> FeatureTable: ...  # noqa: D102

    @property
    def classes(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102

    def test(self) -> dict[str, FeatureTable]:
        """The test features of each view, `stored` first; of the same images in each."""


class ProbeKind(NamedTuple):
    """A kind of probe on a feature column.

    Attributes:
        classifier: how it is fitted.
        column: the feature column.
    """

    classifier: Classifier
    column: str

    @property
    def name(self) -> str:
        """Its name in the records: the column, with the kind before it if it is not logistic regression."""
        return self.column if self.classifier == "logistic" else f"{self.classifier}_{self.column}"


@dataclass(frozen=True)
class FittedProbes:
    """Probes of one kind on one feature column, one per share of the labels and draw.

    Attributes:
        standardiser: standardiser that was fitted on the training images.
        probes: share in per cent -> the chosen probe of each draw; 100 is always there, with one probe.
        record: how they were chosen, for metrics.json.
    """

    standardiser: Standardiser
    probes: dict[int, list[Probe]]
    record: dict[str, Any]

    def predict(self, table: FeatureTable, column: str, share: int) -> Int[np.ndarray, "draws images"]:
        """Predicted class of each image by the probe of each draw."""
        features = self.standardiser(table.features[column])
        return np.stack([probe.predict(features) for probe in self.probes[share]])

    def classify(self, features: Float[np.ndarray, "rows width"]) -> Int[np.ndarray, " rows"]:
        """Predicted class of each row by the probe that was fitted with all labels."""
        return self.probes[100][0].predict(self.standardiser(features))


def fit_all(data: Probeable, settings: ProbeSettings) -> dict[ProbeKind, FittedProbes]:
    """Probes of every kind on every column. Columns that hold the same numbers (trivial group) share them."""
    fitted: dict[ProbeKind, FittedProbes] = {}
    for column in data.columns:
        twin = column.replace("regular", "invariant")
        if column != twin and _same(data, column, twin):
            fitted |= {
                ProbeKind(kind, column): fitted[ProbeKind(kind, twin)] for kind in settings.classifiers
            }
        else:
            probes = fit_probes(data, column, settings)
            fitted |= {ProbeKind(kind, column): found for kind, found in probes.items()}
    return fitted


def _same(data: Probeable, column: str, other: str) -> bool:
    return other in data.columns and all(
        np.array_equal(table.features[column], table.features[other]) for table in (data.train, data.val)
    )


def fit_probes(data: Probeable, column: str, settings: ProbeSettings) -> dict[Classifier, FittedProbes]:
    """Fit probes of every kind for every share of the labels and every draw.

    Features are standardised by all training images, which needs no labels. Every probe's strength is chosen
    on the validation split. With all labels the chosen probe is then refitted on training and validation
    images. With fewer labels it stays as it was fitted on its draw, because the number of labels is what is
    studied.
    """
    train, val = data.train, data.val
    standardiser = Standardiser.fit(train.features[column])
    rows = Rows(standardiser(train.features[column]), train.labels)
    held = Rows(standardiser(val.features[column]), val.labels)
    small = [share for share in settings.shares if share < 100]
    try:
        draws = nested_draws(train.labels, small, settings.draws, data.classes, settings.seed)
    except ValueError as error:
        raise ValueError(f"{train.path}: column label: {error}") from None
    parts: list[tuple[int, Int[np.ndarray, " part"] | None]] = [
        *((share, taken) for share in small for taken in draws[share]),
        (100, None),
    ]
    tasks = [(kind, *part) for kind in settings.classifiers for part in parts]
    fitted = {kind: FittedProbes(standardiser, {}, {}) for kind in settings.classifiers}
    for kind, share, taken in track(tasks, len(tasks), f"probes on {column} features"):
        part = rows if taken is None else rows.part(taken)
        chosen = CLASSIFIERS[kind](part, held, settings, refit=share == 100)
        fitted[kind].probes.setdefault(share, []).append(chosen.probe)
        fitted[kind].record.setdefault(str(share), []).append(chosen.record)
    return fitted
