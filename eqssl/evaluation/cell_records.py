"""The records of a cell's earlier steps, compared with each other, and what of them goes into its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eqssl.config.plain import shown
from eqssl.machine.cell_numbers import TARGET, check_identity, number, numbers, refuse
from eqssl.machine.records import Record, read_record
from eqssl.machine.transferred import check_target_table

IDENTITY_KEYS = ("dataset", "group", "pretext", "seed", "parameters", "flops", "weights_sha256")


def read_records(
    evaluation: Path, encoder: Path, cell: str | None, features: str | None
) -> dict[str, Record]:
    """The records of the previous steps, after checking that they belong together.

    That of the features says whether they are of another data set than the encoder was trained on.
    """
    described = read_record(encoder / "encoder.json", (*IDENTITY_KEYS, "job")).check_job(cell)
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
    if TARGET in equivariance.values:
        check_target_table(equivariance)


def identity(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The columns that name the cell and its cost; for a transfer also the data set that was read.

    What a pretext was measured on are images of the encoder's own data set, so a transfer leaves that out.
    """
    encoder, pretrain, equivariance = (records[name] for name in ("encoder", "pretrain", "equivariance"))
    transferred = TARGET in equivariance
    return {
        **({TARGET: equivariance[TARGET]["dataset"]} if transferred else {}),
        **{key: encoder[key] for key in IDENTITY_KEYS if key != "weights_sha256"},
        "epochs": pretrain["epochs"],
        "equivariance_error": equivariance["error"],
        "seconds_pretrain": pretrain["seconds"],
        **_retrieved(equivariance),
        **({} if transferred else pretrain.get("measured", {})),
    }


def _retrieved(equivariance: Mapping[str, Any]) -> dict[str, float]:
    """How well turned test images are found again."""
    found = equivariance.get("retrieval") or {}
    names = {"retrieval_hit_1": "hit_rate_1", "retrieval_hit_5": "hit_rate_5", "retrieval_mrr": "mrr"}
    return {name: found[key] for name, key in names.items() if key in found}
