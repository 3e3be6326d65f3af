"""What one wants to know of each step of a number's chain. What a record does not say is None."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eqssl.machine.tracing.tables import section, size_of

Facts = dict[str, Any]
VERSIONS = ("eqssl", "commit", "clean", "code", "python", "torch", "processor", "cores", "gpus", "platform")
_PROBE = re.compile(r"(?P<regular>reg_)?acc_(?P<view>[a-z]+)_(?P<share>\d+)")


def versions(values: Mapping[str, Any]) -> Facts:
    """What a record says about the software and the machine that made it."""
    recorded = section(values, "versions")
    return {name: recorded.get(name) for name in VERSIONS}


def probe(values: Mapping[str, Any], number: str) -> Facts:
    """Settings and choice of the probe that a number comes from.

    Args:
        values: of metrics.json.
        number: its name; for one that is not the accuracy of a linear probe there is no choice.
    """
    details = section(values, "details")
    found: Facts = {"settings": details.get("probe"), "code": section(details, "versions").get("code")}
    match = _PROBE.fullmatch(number)
    if match is None:
        return found
    feature = "regular" if match["regular"] else "invariant"
    fits = section(details, "probes", feature).get(match["share"])
    entries = [fit for fit in fits if isinstance(fit, Mapping)] if isinstance(fits, list) else []
    refits = [section(fit, "refit") for fit in entries if "refit" in fit]
    chosen: Facts = {
        "strength": [fit.get("strength") for fit in entries] or None,
        "validation": [fit.get("accuracy") for fit in entries] or None,
        "at_edge": [fit.get("edge") for fit in entries] or None,
        "converged": [refit.get("converged") for refit in refits] or None,
    }
    if not refits:
        del chosen["converged"]  # probes of a share of the labels are not fitted again
    return {**found, "feature": feature, **chosen}


def features(values: Mapping[str, Any], code: str | None) -> Facts:
    """What was extracted.

    Args:
        values: of equivariance.json.
        code: digest of the code, which the feature files state.
    """
    job = section(values, "job", "features")
    kept = {key: job.get(key) for key in ("stages", "views", "seed")}
    return {"rows": values.get("rows"), **kept, "code": code, "device": values.get("device")}


def code_of_features(path: Path) -> str | None:
    """The digest of the code in the metadata of a feature file; None if it states none."""
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        code = json.loads(metadata[b"eqssl.code"])
    except (KeyError, ValueError, OSError):
        return None
    return code if isinstance(code, str) else None


def training(values: Mapping[str, Any], encoder: Mapping[str, Any]) -> Facts:
    """How the encoder was trained.

    Args:
        values: of pretrain.json.
        encoder: of encoder.json.
    """
    job = section(encoder, "job")
    device = values.get("device")
    return {
        "pretext": job.get("pretext"),
        "task": job.get("task"),
        "seed": job.get("seed"),
        "settings": job.get("pretrain"),
        "views": job.get("views"),
        **{key: values.get(key) for key in ("epochs", "steps", "device")},
        "gpu": "none" if device == "cpu" else section(values, "versions").get("gpu"),
        **{key: values.get(key) for key in ("precision", "seconds", "final_loss", "warnings")},
    }


def encoder(values: Mapping[str, Any]) -> Facts:
    """What the encoder is."""
    kept = {key: values.get(key) for key in ("group", "parameters", "flops")}
    return {"weights": values.get("weights_sha256"), "network": section(values, "job").get("encoder"), **kept}


def shards(values: Mapping[str, Any]) -> Facts:
    """What the shards hold."""
    splits = section(values, "splits")
    tars = values.get("tars")
    sizes = [section({"tar": tar}, "tar").get("bytes") for tar in tars] if isinstance(tars, list) else []
    whole = all(isinstance(size, int) for size in sizes)
    return {
        "dataset": values.get("dataset"),
        "images": {name: size_of(section(splits, name).get("keys")) for name in splits} or None,
        "labelled": {name: _labelled(section(splits, name).get("labels")) for name in splits} or None,
        "tars": size_of(tars),
        "bytes": sum(sizes) if sizes and whole else None,
        **{key: values.get(key) for key in ("image_shape", "pixels", "mask")},
        "classes": size_of(values.get("classes")),
        "settings": section(values, "job").get("shards"),
    }


def _labelled(labels: Any) -> int | None:
    return sum(label != -1 for label in labels) if isinstance(labels, list) else None


def source(index: Mapping[str, Any], raw: str | None, encoder: Mapping[str, Any]) -> Facts:
    """Where the images come from.

    Args:
        index: of index.json; empty if it is missing or damaged.
        raw: the version of the source's files.
        encoder: of encoder.json, which repeats origin and licence.
    """
    told = {key: index.get(key) or encoder.get(key) for key in ("origin", "licence")}
    notes = index.get("notes")
    return {**told, "settings": section(index, "job").get("data"), "raw_version": raw, "notes": notes}
