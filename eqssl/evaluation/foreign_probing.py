"""Metrics of features that other software made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from eqssl.config.jobs import ProbeJob
from eqssl.config.sources import SplitName
from eqssl.evaluation.accuracies import probe_features, write_probed
from eqssl.evaluation.foreign import VALIDATION, ForeignFeatures
from eqssl.evaluation.labelled import Labels, label_counts, why_no_accuracies
from eqssl.machine import provenance
from eqssl.machine.files import sha256


def evaluate_foreign(
    job: ProbeJob, files: Mapping[SplitName, Path] | Path, out: str | Path
) -> dict[str, Any]:
    """Write predictions.csv, correct.parquet and metrics.json into `out`, as for a cell.

    Probes, neighbours and intervals are those of a cell. There is no encoder, so metrics.json has neither a
    cell nor measures of equivariance. `details.foreign` names each file with its SHA-256.

    Args:
        job: settings of the probes; of one stage.
        files: a Parquet file for each split, of which `val` may be left out; or one with a column `split`.
        out: folder to write into.

    Returns:
        The values of metrics.json.

    Raises:
        ValueError: a column is missing or wrong, or no probe can be fitted; names file, column and reason.
        OSError: a file is missing or cannot be written.
    """
    out, settings = Path(out), job.probe
    if settings.stages != 1:
        raise ValueError(f"probe.stages: given {settings.stages}, allowed: 1 for features of other software")
    paths = {"features": files} if isinstance(files, Path) else dict(files)
    with threadpool_limits(1):
        data = ForeignFeatures.load(files)
        labels: dict[SplitName, Labels] = {
            "train": data.train.labels,
            "val": data.val.labels,
            "test": data.test_labels,
        }
        reason = why_no_accuracies(labels, data.classes)
        if reason:
            raise ValueError(f"{data.train.path}: column label: {reason}")
        known = replace(data, train=data.train.labelled(), val=data.val.labelled())
        probed = probe_features(known, settings)
    hashes = {name: sha256(path) for name, path in paths.items()}
    counts = label_counts(labels)
    foreign = {
        "files": {name: {"name": path.name, "sha256": hashes[name]} for name, path in paths.items()},
        "widths": {column: data.train.features[column].shape[1] for column in data.columns},
        "classes": list(data.classes),
        "validation": f"{VALIDATION:g} of the training images, by the hashes of their keys"
        if data.validation_from_train
        else "given",
    }
    details = {
        "foreign": foreign,
        **probed.details,
        "labels": counts,
        "job": job.plain(),
        "probe": settings.plain(),
        "versions": provenance.record(),
    }
    values = {"features": "foreign", **probed.metrics, "details": details}
    write_probed(out, data.classes, probed, values, hashes)
    return values
