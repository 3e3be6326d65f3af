"""The records of transfers: features of an encoder on another data set, the target, and probes on them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eqssl.config import jobs
from eqssl.config.grid import IDENTITY, Cell
from eqssl.config.params import Params
from eqssl.config.plain import shown
from eqssl.machine.cell_numbers import TARGET, check_metrics, read_metrics, refuse
from eqssl.machine.chain import Chain, Digests, Folders, cell_steps
from eqssl.machine.published import check_rows
from eqssl.machine.records import Record, read_record
from eqssl.machine.store import published

NAMES = (TARGET, *IDENTITY)
"""The columns that name a row of metrics/transfer.csv."""
TABLE = "metrics/transfer.csv"


def read_transferred(path: Path) -> Record:
    """Read the metrics.json of a transfer.

    Raises:
        ValueError: it is damaged, or holds something else; names file and key.
        OSError: it cannot be read.
    """
    record = read_record(path, NAMES)
    target = record.values[TARGET]
    if not _is_name(target):
        refuse(path, TARGET, f"given {shown(target)}, expected a name")
    check_metrics(record)
    details = record.values.get("details", {}).get("equivariance")
    read = details.get(TARGET) if isinstance(details, dict) else None
    if not isinstance(read, dict) or read.get("dataset") != target:
        refuse(path, TARGET, f"given {target!r}, but its features are of {shown(read)}")
    return record


def read_measured(path: Path) -> Record:
    """Read the metrics.json of a cell or of a transfer.

    Raises:
        ValueError: it is damaged, or holds something else; names file and key.
        OSError: it cannot be read.
    """
    return read_transferred(path) if TARGET in read_record(path).values else read_metrics(path)


def check_target_table(features: Record) -> None:
    """Refuse a record of features that says nothing, or something else, of the data set that was read.

    Args:
        features: equivariance.json of a transfer.

    Raises:
        ValueError: names file and key.
    """
    table, job = features.values[TARGET], features.job
    if not isinstance(table, dict) or not _is_name(table.get("dataset")):
        refuse(features.path, TARGET, f"given {shown(table)}, expected a table with the name of a data set")
    if not isinstance(job, dict) or job.get("dataset") != table["dataset"]:
        refuse(features.path, f"{TARGET}.dataset", f"given {table['dataset']!r}, but its job has another one")
    if table.get("data") != features.made_of.get("data"):
        refuse(features.path, f"{TARGET}.data", "is not the digest of the data set that it was made of")


def check_transfers(chain: Chain, params: Params, cell: Cell, root: Path) -> list[dict[str, Any] | None]:
    """Check the records of the transfers of a cell, as far as they have been made.

    Args:
        chain: collects the faults.
        params: the settings.
        cell: the cell of the encoder.
        root: the folder of the project.

    Returns:
        The numbers on each target, as they are in the table; None for those that are not there yet, or have
        a faulty record.
    """
    return [_check_transfer(chain, params, cell, target, root) for target in params.targets(cell)]


def check_transfer_table(chain: Chain, root: Path, rows: Sequence[Mapping[str, Any] | None]) -> None:
    """Compare the table of transfers with their records, once all of them exist.

    Args:
        chain: collects the faults.
        root: the folder of the project.
        rows: what `check_transfers` gave for the cells of the grid.
    """
    whole, table = [row for row in rows if row is not None], root / TABLE
    if whole and len(whole) == len(rows) and table.is_file():
        check_rows(chain, table, whole, NAMES)


def _check_transfer(
    chain: Chain, params: Params, cell: Cell, target: str, root: Path
) -> dict[str, Any] | None:
    job, read = jobs.pretrain_job(params, cell), jobs.transfer_job(params, target)
    folders = Folders(
        root / jobs.shard_folder(params, target),
        root / job.folder,
        root / jobs.transfer_folder(params, cell, target),
        root / jobs.transfer_probe_folder(params, cell, target),
    )
    digests = Digests(read.data, job.digest, read.digest, jobs.probe_job(params).digest)
    data, encoder, pretrain, features, metrics = cell_steps(folders, digests)
    # beside the table that the step made first, a missing record was lost
    probed = metrics.path.exists() or metrics.path.with_name("correct.parquet").exists()
    if not probed and not features.path.exists():
        return None
    own = root / jobs.shard_folder(params, cell.dataset) / data.path.name
    found = {"data": chain.step(own, job.data)}
    for step in (encoder, pretrain):
        found[step.name] = chain.check(step, found)
    found["data"] = chain.check(data, {})
    for step in (features._replace(made_of=("encoder", "data")), *([metrics] if probed else [])):
        found[step.name] = chain.check(step, found)
    if found.get("metrics") is None:
        return None
    try:
        return published(read_transferred(metrics.path).values)
    except (ValueError, OSError) as error:
        chain.fault(metrics.path, str(error))
        return None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_]{1,100}", value) is not None
