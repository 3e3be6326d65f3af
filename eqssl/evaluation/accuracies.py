"""Accuracies of probes and nearest neighbours on test images, with their intervals."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from eqssl.config.evaluation import ProbeSettings
from eqssl.evaluation.agreement import Classify
from eqssl.evaluation.correct import NAME as CORRECT
from eqssl.evaluation.correct import write_correct
from eqssl.evaluation.fitting import FittedProbes, Probeable, ProbeKind, fit_all
from eqssl.evaluation.intervals import accuracy_intervals, bin_intervals
from eqssl.evaluation.knn import knn_predict
from eqssl.evaluation.labelled import possible
from eqssl.evaluation.parquet import FeatureTable
from eqssl.machine.accuracy_names import AccuracyName
from eqssl.machine.files import atomic
from eqssl.machine.live.progress import track
from eqssl.machine.records import write_record

LAST = ("invariant", "regular")
"""Feature columns of the last stage."""
BIN_DEGREES = 15
PREDICTIONS = "predictions.csv"

Correct = Bool[np.ndarray, "draws images"]


class Probed(NamedTuple):
    """What probes say of features.

    Attributes:
        metrics: accuracies with their intervals.
        details: how they came to be.
        predictions: actual and predicted class of each labelled test image.
        keys: keys of these images.
        correct: for each accuracy, whether each draw's probe was right about each of them.
        classify: for each column of the last stage, the logistic regression with all labels.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    predictions: list[tuple[int, int]]
    keys: list[str]
    correct: dict[str, Correct]
    classify: dict[str, Classify]


NOTHING = Probed({}, {}, [], [], {}, {})


def probe_features(data: Probeable, settings: ProbeSettings) -> Probed:
    """Fit, choose and test probes.

    Probes are fitted and chosen before test features are read.

    Args:
        data: features of labelled training and validation images; of test images, those without a label do
            not count.
        settings: kinds of probes, shares of the labels and strengths.
    """
    settings, left_out = possible(data, settings)
    fitted = fit_all(data, settings)
    test = {view: table.labelled() for view, table in data.test().items()}
    correct = _correct(test, fitted, settings)
    neighbours = _neighbours(data, test, settings)
    if neighbours is None:
        known = len(data.train.labels) + len(data.val.labels)
        left_out.append(f"{settings.neighbours} nearest neighbours: only {known} images have a known label")
    correct |= neighbours or {}
    metrics, measured = _metrics(correct, settings)
    last = {column: fitted[ProbeKind("logistic", column)] for column in LAST if column in data.columns}
    full = {
        column: {view: probes.predict(table, column, 100)[0] for view, table in test.items()}
        for column, probes in last.items()
    }
    details = {
        **measured,
        "probes": {kind.name: probes.record for kind, probes in fitted.items()},
        "left_out": left_out,
        "angles": _angles(test, full["invariant"], settings),
        "prediction_change": _prediction_change(full),
    }
    stored = zip(test["stored"].labels.tolist(), full["invariant"]["stored"].tolist(), strict=True)
    classify: dict[str, Classify] = {column: probes.classify for column, probes in last.items()}
    return Probed(metrics, details, list(stored), test["stored"].keys, correct, classify)


def _correct(
    test: dict[str, FeatureTable], fitted: dict[ProbeKind, FittedProbes], settings: ProbeSettings
) -> dict[str, Correct]:
    """For each metric, whether each draw's probe classified each test image correctly."""
    correct: dict[str, Correct] = {}
    for kind, probes in fitted.items():
        column, _, stage = kind.column.partition("_")
        for view, table in test.items():
            for share in settings.shares:
                name = AccuracyName(int(stage or 1), column == "regular", kind.classifier, view, share)
                predicted = probes.predict(table, kind.column, share)
                correct[str(name)] = predicted == table.labels
    return correct


def _neighbours(
    data: Probeable, test: dict[str, FeatureTable], settings: ProbeSettings
) -> dict[str, Correct] | None:
    """Whether nearest neighbours classify each test image correctly; None if there are too few of them."""
    gallery = np.concatenate([data.train.features["invariant"], data.val.features["invariant"]])
    if len(gallery) < settings.neighbours:
        return None
    correct: dict[str, Correct] = {}
    labels = np.concatenate([data.train.labels, data.val.labels])
    for view, table in track(test.items(), len(test), "nearest neighbours"):
        predicted = knn_predict(
            table.features["invariant"],
            gallery,
            labels,
            len(data.classes),
            settings.neighbours,
            settings.temperature,
        )
        correct[f"knn_{view}"] = (predicted == table.labels)[None]
    return correct


def _metrics(correct: dict[str, Correct], settings: ProbeSettings) -> tuple[dict[str, float], dict[str, Any]]:
    """Accuracies with their intervals, and the accuracy of each draw."""
    ends = accuracy_intervals(list(correct.values()), settings.bootstrap, settings.seed)
    metrics: dict[str, float] = {}
    for (name, values), (low, high) in zip(correct.items(), ends.tolist(), strict=True):
        metrics |= {name: float(values.mean()), f"{name}_lo": low, f"{name}_hi": high}
    draws = {name: values.mean(axis=1).tolist() for name, values in correct.items() if len(values) > 1}
    return metrics, {"draws": draws}


def _angles(
    test: dict[str, FeatureTable], predicted: dict[str, Int[np.ndarray, " images"]], settings: ProbeSettings
) -> list[dict[str, float]]:
    """Accuracy by angle on the view `angle`, in bins of 15 degrees, given by their centres; none is empty."""
    if "angle" not in test or np.isnan(test["angle"].angles).any():
        return []  # other software may not say how far images were turned
    table = test["angle"]
    right = predicted["angle"] == table.labels
    bin_of_image = (table.angles // BIN_DEGREES).astype(np.int64)
    filled = np.unique(bin_of_image)
    members = bin_of_image == filled[:, None]
    ends = bin_intervals(right, members, settings.bootstrap, settings.seed)
    return [
        {
            "degrees": float((number + 0.5) * BIN_DEGREES),
            "acc": float(right[inside].mean()),
            "lo": float(low),
            "hi": float(high),
            "n": int(inside.sum()),
        }
        for number, inside, (low, high) in zip(filled, members, ends, strict=True)
    ]


def _prediction_change(predicted: dict[str, dict[str, Int[np.ndarray, " images"]]]) -> dict[str, float]:
    """Share of test images whose predicted class (all labels) differs between `stored` and `grid`."""
    return {
        column: float((views["stored"] != views["grid"]).mean())
        for column, views in predicted.items()
        if "grid" in views
    }


def write_probed(
    out: Path,
    classes: Sequence[str],
    probed: Probed,
    values: Mapping[str, Any],
    made_of: Mapping[str, str],
) -> None:
    """Write predictions.csv, correct.parquet, and metrics.json, the record of both.

    Args:
        out: folder to write into.
        classes: names of the classes.
        probed: what the probes said.
        values: the content of metrics.json.
        made_of: what the features were made of, by name: seals or hashes.
    """
    _write_predictions(out / PREDICTIONS, classes, probed.predictions)
    write_correct(out / CORRECT, probed.keys, probed.correct)
    write_record(out / "metrics.json", values, [PREDICTIONS, CORRECT], made_of)


def _write_predictions(path: Path, classes: Sequence[str], predictions: Sequence[tuple[int, int]]) -> None:
    """Actual and predicted class of each labelled test image: DVC's confusion plot."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["actual", "predicted"])
        writer.writerows((classes[a], classes[p]) for a, p in predictions)
