"""Compute the metrics of a cell from its feature files: probes, nearest neighbours, intervals."""

from __future__ import annotations

from pathlib import Path

from threadpoolctl import threadpool_limits

from eqssl.config.evaluation import ProbeSettings
from eqssl.config.jobs import ProbeJob
from eqssl.evaluation.accuracies import NOTHING, Probed, probe_features, write_probed
from eqssl.evaluation.agreement import agreements
from eqssl.evaluation.cell_features import CellFeatures
from eqssl.evaluation.cell_records import identity, read_records
from eqssl.evaluation.classifiers.base import strengths
from eqssl.evaluation.labelled import label_counts, labelled, labels_of, why_no_accuracies
from eqssl.evaluation.neighbours import nearest_images
from eqssl.evaluation.ridge import ridge_accuracies
from eqssl.evaluation.turn_regression import measure_turns
from eqssl.evaluation.turned import TurnedImages
from eqssl.machine import provenance


def evaluate(
    job: ProbeJob,
    evaluation: str | Path,
    encoder: str | Path,
    out: str | Path,
    cell: str | None = None,
    features: str | None = None,
) -> None:
    """Write predictions.csv and correct.parquet into `out`, and metrics.json, the record of this step.

    Features of another data set than the encoder was trained on (a transfer) are probed in the same way. The
    record names that data set under `target`, and describes it under `details.target`.

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
    sources = read_records(Path(evaluation), Path(encoder), cell, features)
    records = {name: dict(record.values) for name, record in sources.items()}
    with threadpool_limits(1):
        data = CellFeatures.load(sources["equivariance"], sources["encoder"], settings.stages)
        labels = labels_of(data.files)
        reason = why_no_accuracies(labels, data.classes)
        turned = TurnedImages.load(sources["equivariance"], data.info)
        probed = NOTHING._replace(details={"probes": reason}) if reason else _probed(data, turned, settings)
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
    made_of = {name: record.seal for name, record in sources.items()}
    values = {**identity(records), **probed.metrics, **turns.metrics, "details": details}
    write_probed(out, data.classes, probed, values, made_of)


def _probed(data: CellFeatures, turned: TurnedImages, settings: ProbeSettings) -> Probed:
    """What probes say of a cell: accuracies, ridge classifiers of all columns, agreement under turns."""
    probed = probe_features(labelled(data), settings)
    metrics = agreements(turned, probed.classify, settings.bootstrap, settings.seed)
    ridge = {
        column: ridge_accuracies(data.files, column, len(data.classes), strengths(settings))
        for column in data.info.widths
    }
    return probed._replace(metrics={**probed.metrics, **metrics}, details={**probed.details, "ridge": ridge})
