"""Compute the metrics of a cell from its feature files: probes, nearest neighbours, intervals."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from eqssl.config.evaluation import ProbeSettings
from eqssl.config.jobs import ProbeJob
from eqssl.config.plain import shown
from eqssl.evaluation.agreement import agreements
from eqssl.evaluation.cell_features import COLUMNS, CellFeatures
from eqssl.evaluation.correct import NAME as CORRECT_FILE
from eqssl.evaluation.correct import write_correct
from eqssl.evaluation.draws import nested_draws
from eqssl.evaluation.intervals import accuracy_intervals, bin_intervals
from eqssl.evaluation.knn import knn_predict
from eqssl.evaluation.labelled import label_counts, labelled, labels_of, possible, why_no_accuracies
from eqssl.evaluation.neighbours import nearest_images
from eqssl.evaluation.parquet import FeatureTable
from eqssl.evaluation.probes import fit, logistic_path
from eqssl.evaluation.ridge import ridge_accuracies
from eqssl.evaluation.standardise import Standardiser
from eqssl.evaluation.turn_regression import measure_turns
from eqssl.evaluation.turned import TurnedImages
from eqssl.machine import provenance
from eqssl.machine.cell_numbers import check_identity, number, numbers, refuse
from eqssl.machine.files import atomic
from eqssl.machine.live.progress import track
from eqssl.machine.records import Record, read_record, write_record

PREFIXES = {"acc": "invariant", "reg_acc": "regular"}
"""Prefix of a metric's name -> the feature column that it is measured on."""
BIN_DEGREES = 15
_ENCODER_KEYS = ("dataset", "group", "pretext", "seed", "parameters", "flops", "weights_sha256")

Correct = Bool[np.ndarray, "draws images"]


@dataclass(frozen=True)
class FittedProbes:
    """Probes on one feature column, one per share of the labels and draw.

    Attributes:
        standardiser: standardiser that was fitted on the training images.
        probes: share in per cent -> the chosen probe of each draw; 100 is always there, with one probe.
        record: how they were chosen, for metrics.json.
    """

    standardiser: Standardiser
    probes: dict[int, list[LogisticRegression]]
    record: dict[str, Any]

    def predict(self, table: FeatureTable, column: str, share: int) -> Int[np.ndarray, "draws images"]:
        """Predicted class of each image by the probe of each draw."""
        features = self.standardiser(table.features[column])
        return np.stack([probe.predict(features) for probe in self.probes[share]])

    def classify(self, features: Float[np.ndarray, "rows width"]) -> Int[np.ndarray, " rows"]:
        """Predicted class of each row by the probe that was fitted with all labels."""
        predicted: np.ndarray = self.probes[100][0].predict(self.standardiser(features))
        return predicted


class Probed(NamedTuple):
    """What probes say of a cell.

    Attributes:
        metrics: accuracies with their intervals.
        details: how they came to be.
        predictions: actual and predicted class of each labelled test image.
        keys: keys of these images.
        correct: for each accuracy, whether each draw's probe was right about each of them.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    predictions: list[tuple[int, int]]
    keys: list[str]
    correct: dict[str, Correct]


def evaluate(
    job: ProbeJob,
    evaluation: str | Path,
    encoder: str | Path,
    out: str | Path,
    cell: str | None = None,
    features: str | None = None,
) -> None:
    """Write predictions.csv and correct.parquet into `out`, and metrics.json, the record of this step.

    Accuracies are shares (0 to 1) of the test images that have a label, and probes are fitted on labelled
    images. Where there can be no accuracies, `details.probes` says why, and both files have no rows. What
    needs no labels is always there: equivariance, retrieval, turns, the nearest images. Probes are fitted and
    chosen before any test feature is read. The same inputs give the same bytes; all linear algebra runs on
    one thread.

    Args:
        job: settings of the probes.
        evaluation: folder of `features` and equivariance.json, as `features.extract` wrote it.
        encoder: folder of encoder.json and pretrain.json.
        out: folder to write into.
        cell: digest of the job that must have made the encoder; None for any.
        features: digest of the job that must have made the features; None for any.

    Raises:
        ValueError: bad input, or files that do not belong together; the message names file, key or column,
            and the reason.
        OSError: a file is missing or cannot be written.
    """
    out, settings = Path(out), job.probe
    sources = _records(Path(evaluation), Path(encoder), cell, features)
    records = {name: dict(record.values) for name, record in sources.items()}
    with threadpool_limits(1):
        data = CellFeatures.load(sources["equivariance"], sources["encoder"])
        labels = labels_of(data.files)
        reason = why_no_accuracies(labels, data.info.classes)
        turned = TurnedImages.load(sources["equivariance"], data.info)
        probed = (
            Probed({}, {"probes": reason}, [], [], {})
            if reason
            else _probed(labelled(data), turned, settings)
        )
        turns = measure_turns(turned, settings.seed)
        if reason:
            data.test()  # refuses damaged files
        neighbours = nearest_images(data.files)
    details = {
        **records,
        "data": {key: records["encoder"][key] for key in ("origin", "licence") if key in records["encoder"]},
        **probed.details,
        "left_out": [*probed.details.get("left_out", []), *turns.left_out],
        "turns": turns.details,
        "labels": label_counts(labels),
        "neighbours": neighbours,
        "job": job.plain(),
        "probe": settings.plain(),
        "versions": provenance.record(),
    }
    _write_predictions(out / "predictions.csv", data.info.classes, probed.predictions)
    write_correct(out / CORRECT_FILE, probed.keys, probed.correct)
    made_of = {name: record.seal for name, record in sources.items()}
    values = {**_identity(records), **probed.metrics, **turns.metrics, "details": details}
    write_record(out / "metrics.json", values, ["predictions.csv", CORRECT_FILE], made_of)


def _probed(data: CellFeatures, turned: TurnedImages, settings: ProbeSettings) -> Probed:
    """Fit, choose and test probes on the features of labelled images."""
    settings, left_out = possible(data, settings)
    fitted = fit_all(data, settings)
    ridge = _ridge(data, settings)
    test = {view: table.labelled() for view, table in data.test().items()}
    correct = _correct(data, test, fitted, settings)
    neighbours = _neighbours(data, test, settings)
    if neighbours is None:
        known = len(data.train.labels) + len(data.val.labels)
        left_out.append(f"{settings.neighbours} nearest neighbours: only {known} images have a known label")
    correct |= neighbours or {}
    metrics, measured = _metrics(correct, settings)
    classify = {column: fitted[column].classify for column in COLUMNS}
    metrics |= agreements(turned, classify, settings.bootstrap, settings.seed)
    full = {
        column: {view: fitted[column].predict(table, column, 100)[0] for view, table in test.items()}
        for column in COLUMNS
    }
    details = {
        **measured,
        "probes": {column: fitted[column].record for column in COLUMNS},
        "left_out": left_out,
        "ridge": ridge,
        "angles": _angles(test, full["invariant"], settings),
        "prediction_change": _prediction_change(full),
    }
    stored = zip(test["stored"].labels.tolist(), full["invariant"]["stored"].tolist(), strict=True)
    return Probed(metrics, details, list(stored), test["stored"].keys, correct)


def _records(evaluation: Path, encoder: Path, cell: str | None, features: str | None) -> dict[str, Record]:
    """The records of the previous steps, after checking that they belong together."""
    described = read_record(encoder / "encoder.json", (*_ENCODER_KEYS, "job")).check_job(cell)
    trained = read_record(encoder / "pretrain.json", ("epochs", "seconds"))
    measured = read_record(evaluation / "equivariance.json", ("error", "rows")).check_job(features)
    _check_numbers(described, trained, measured)
    return {
        "encoder": described,
        "pretrain": trained.check_made_of(encoder=described),
        "equivariance": measured.check_made_of(encoder=described),
    }


def _check_numbers(encoder: Record, pretrain: Record, equivariance: Record) -> None:
    """Refuse records whose identity or numbers, which go into metrics.json, are of another kind.

    Raises:
        ValueError: names file and key.
    """
    check_identity(encoder, encoder.job)
    wanted = [(encoder, "parameters"), (encoder, "flops"), (pretrain, "epochs"), (pretrain, "seconds")]
    for record, key in [*wanted, (equivariance, "error")]:
        number(record.path, key, record.values[key])
    retrieval = equivariance.values.get("retrieval", {})
    if not isinstance(retrieval, dict):
        refuse(equivariance.path, "retrieval", f"given {shown(retrieval)}, expected a table of numbers")
    numbers(equivariance.path, retrieval, "retrieval.")
    pretext = pretrain.values.get("measured", {})
    if not isinstance(pretext, dict) or not all(name.startswith("pretext_") for name in pretext):
        refuse(pretrain.path, "measured", f"given {shown(pretext)}, expected a table of numbers pretext_*")
    numbers(pretrain.path, pretext, "measured.")


def strengths(settings: ProbeSettings) -> list[float]:
    """The strengths lambda of a path, from the strongest to the weakest, in equal ratios."""
    least, largest, count = settings.strengths
    return [float(strength) for strength in np.geomspace(largest, least, count)]


def fit_all(data: CellFeatures, settings: ProbeSettings) -> dict[str, FittedProbes]:
    """Probes on every feature column. Columns that hold the same numbers (trivial group) share them."""
    fitted: dict[str, FittedProbes] = {}
    for column in COLUMNS:
        if column == "regular" and _same_columns(data):
            fitted[column] = fitted["invariant"]
        else:
            fitted[column] = fit_probes(data, column, settings)
    return fitted


def fit_probes(data: CellFeatures, column: str, settings: ProbeSettings) -> FittedProbes:
    """Fit probes for every share of the labels and every draw.

    Features are standardised by all training images, which needs no labels. Every probe's strength is chosen
    on the validation split. With all labels the chosen probe is then refitted on training and validation
    images. With fewer labels it stays as it was fitted on its draw, because the number of labels is what is
    studied.
    """
    train, val, classes = data.train, data.val, data.info.classes
    standardiser = Standardiser.fit(train.features[column])
    x, held = standardiser(train.features[column]), (standardiser(val.features[column]), val.labels)
    small = [share for share in settings.shares if share < 100]
    try:
        draws = nested_draws(train.labels, small, settings.draws, classes, settings.seed)
    except ValueError as error:
        raise ValueError(f"{train.path}: column label: {error}") from None
    tasks = [(share, rows) for share in small for rows in draws[share]]
    tasks.append((100, np.arange(len(x))))
    probes: dict[int, list[LogisticRegression]] = {}
    record: dict[str, Any] = {}
    limits = (settings.tolerance, settings.iterations)
    for share, rows in track(tasks, len(tasks), f"probes on {column} features"):
        path = logistic_path(x[rows], train.labels[rows], held, strengths(settings), *limits)
        entry, probe = path.record(), path.probe
        if share == 100:
            both = np.concatenate([x, held[0]]), np.concatenate([train.labels, held[1]])
            probe, converged, _ = fit(probe, path.strength, *both)
            entry["refit"] = {"iterations": int(probe.n_iter_[0]), "converged": converged}
        probes.setdefault(share, []).append(probe)
        record.setdefault(str(share), []).append(entry)
    return FittedProbes(standardiser, probes, record)


def _same_columns(data: CellFeatures) -> bool:
    tables = (data.train, data.val)
    return data.info.orders[0] == 1 and all(
        np.array_equal(table.features["invariant"], table.features["regular"]) for table in tables
    )


def _ridge(data: CellFeatures, settings: ProbeSettings) -> dict[str, Any]:
    """Ridge classifiers with all labels, on every column of the files."""
    return {
        column: ridge_accuracies(data.files, column, len(data.info.classes), strengths(settings))
        for column in data.info.widths
    }


def _correct(
    data: CellFeatures,
    test: dict[str, FeatureTable],
    fitted: dict[str, FittedProbes],
    settings: ProbeSettings,
) -> dict[str, Correct]:
    """For each metric, whether each draw's probe classified each test image correctly."""
    correct: dict[str, Correct] = {}
    for prefix, column in PREFIXES.items():
        for view, table in test.items():
            for share in settings.shares:
                predicted = fitted[column].predict(table, column, share)
                correct[f"{prefix}_{view}_{share}"] = predicted == table.labels
    return correct


def _neighbours(
    data: CellFeatures, test: dict[str, FeatureTable], settings: ProbeSettings
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
            len(data.info.classes),
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
    if "angle" not in test:
        return []
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


def _identity(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The columns that name the cell and its cost."""
    encoder, pretrain = records["encoder"], records["pretrain"]
    return {
        **{key: encoder[key] for key in _ENCODER_KEYS if key != "weights_sha256"},
        "epochs": pretrain["epochs"],
        "equivariance_error": records["equivariance"]["error"],
        "seconds_pretrain": pretrain["seconds"],
        **_retrieved(records["equivariance"]),
        **pretrain.get("measured", {}),
    }


def _retrieved(equivariance: Mapping[str, Any]) -> dict[str, float]:
    """How well turned test images are found again."""
    found = equivariance.get("retrieval") or {}
    names = {"retrieval_hit_1": "hit_rate_1", "retrieval_hit_5": "hit_rate_5", "retrieval_mrr": "mrr"}
    return {name: found[key] for name, key in names.items() if key in found}


def _write_predictions(path: Path, classes: Sequence[str], predictions: Sequence[tuple[int, int]]) -> None:
    """Actual and predicted class of each labelled test image: DVC's confusion plot."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["actual", "predicted"])
        writer.writerows((classes[a], classes[p]) for a, p in predictions)
