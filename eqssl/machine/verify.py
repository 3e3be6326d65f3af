"""`eqssl verify`: is every file still what the records say, from the metrics down to the shards?

Snakemake judges files by their times first, and asks for the last files of the chain alone. Here content is
the judge: each record's seal, the hash of each file that a record names, and whether records belong
together. A file is hashed once; while its size, times and inode stay the same its hash is taken from a cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eqssl.config import jobs
from eqssl.config.grid import Cell
from eqssl.config.params import Params
from eqssl.machine.files import read_json, sha256
from eqssl.machine.records import Record, differs, read_record
from eqssl.machine.store import published

Hash = Callable[[Path], str]


@dataclass(frozen=True)
class Fault:
    """A file that is missing or is not what it should be.

    Attributes:
        path: the file.
        reason: in words, with the path.
    """

    path: Path
    reason: str


class Chain:
    """The records of a data set's shards or of a cell, from the first step to the last.

    Args:
        hash_of: gives the SHA-256 of a file.
    """

    def __init__(self, hash_of: Hash) -> None:
        self._hash = hash_of
        self._seen: dict[Path, Record | None] = {}
        self.faults: list[Fault] = []

    def step(self, path: Path, job: str | None = None, **made_of: Record | None) -> Record | None:
        """Check one record, the files that it names, and what it was made of.

        Args:
            path: the record.
            job: digest of the job that has to have made it; None for any.
            made_of: name -> record of the steps before; None for one that is faulty itself.

        Returns:
            The record; None if it is faulty.
        """
        if path not in self._seen:
            self._seen[path] = self._checked(path, job, made_of)
        return self._seen[path]

    def _checked(self, path: Path, job: str | None, made_of: dict[str, Record | None]) -> Record | None:
        try:
            record = read_record(path)
            if job is not None:
                record.check_job(job)
            record.check_made_of(**{name: other for name, other in made_of.items() if other is not None})
        except FileNotFoundError:
            self._fault(path, f"{path}: missing")
            return None
        except OSError as error:
            self._fault(path, f"{path}: {error.strerror or error}")
            return None
        except ValueError as error:
            self._fault(path, str(error))
            return None
        for name, stated in record.files.items():
            self._check_file(path.parent / name, stated, path)
        return record

    def _check_file(self, path: Path, stated: str, record: Path) -> None:
        try:
            found = self._hash(path)
        except FileNotFoundError:
            self._fault(path, f"{path}: missing")
        except OSError as error:
            self._fault(path, f"{path}: {error.strerror or error}")
        else:
            if found != stated:
                self._fault(path, differs(path, found, record, stated))

    def check_copy(self, copy: Path, original: Path) -> None:
        """Compare a published copy with the file that it was made from."""
        if self._hash(copy) != self._hash(original):
            self._fault(copy, f"{copy}: differs from {original}")

    def check_numbers(self, copy: Path, metrics: Path) -> None:
        """Compare the published numbers with the metrics that they were taken from."""
        if not copy.is_file():
            return
        try:
            same = read_json(copy) == published(read_record(metrics).values)
        except ValueError as error:
            self._fault(copy, str(error))
            return
        if not same:
            self._fault(copy, f"{copy}: differs from {metrics}")

    def _fault(self, path: Path, reason: str) -> None:
        self.faults.append(Fault(path, reason))


def faults(params: Params, root: Path = Path(), hash_of: Hash = sha256) -> list[Fault]:
    """Every file of the grid and of the active cell that is missing or is not what the records say.

    What was not made yet is no fault: a record may be missing as long as no later step has its own.

    Args:
        params: the settings; they name the cells and the folders.
        root: the folder of the project.
        hash_of: gives the SHA-256 of a file.
    """
    chain = Chain(hash_of)
    for cell in dict.fromkeys([*params.cells(), params.cell]):
        _check_cell(chain, params, cell, root)
    _check_published(chain, params, root)
    return chain.faults


def _check_cell(chain: Chain, params: Params, cell: Cell, root: Path) -> None:
    """The records of a cell: shards, encoder, training, features, metrics."""
    job = jobs.pretrain_job(params, cell)
    home = root / job.folder
    evaluation = root / jobs.evaluation_folder(params, cell)
    steps: list[tuple[str, Path, str, tuple[str, ...]]] = [
        ("data", root / jobs.shard_folder(params, cell.dataset) / "index.json", job.data, ()),
        ("encoder", home / "encoder.json", job.digest, ("data",)),
        ("pretrain", home / "pretrain.json", "", ("encoder",)),
        ("equivariance", evaluation / "equivariance.json", jobs.features_job(params).digest, ("encoder",)),
        (
            "metrics",
            root / jobs.probe_folder(params, cell) / "metrics.json",
            jobs.probe_job(params).digest,
            ("encoder", "pretrain", "equivariance"),
        ),
    ]
    while steps and not steps[-1][1].is_file():
        steps.pop()  # not made yet
    found: dict[str, Record | None] = {}
    for name, path, digest, sources in steps:
        found[name] = chain.step(path, digest or None, **{source: found[source] for source in sources})


def _check_published(chain: Chain, params: Params, root: Path) -> None:
    """The copies of the active cell that DVC compares."""
    cell = params.cell
    home, probe = root / jobs.cell_folder(params, cell), root / jobs.probe_folder(params, cell)
    if not (probe / "metrics.json").is_file():
        return
    copies = {
        root / "model/encoder.safetensors": home / "encoder.safetensors",
        root / "model/encoder.json": home / "encoder.json",
        root / "metrics/predictions.csv": probe / "predictions.csv",
        root / "metrics/loss.csv": home / "loss.csv",
    }
    faulty = {fault.path for fault in chain.faults}
    if probe / "metrics.json" not in faulty:
        chain.check_numbers(root / "metrics/cell.json", probe / "metrics.json")
    for copy, original in copies.items():
        if copy.is_file() and original.is_file() and original not in faulty:
            chain.check_copy(copy, original)


def repair(params: Params, remove: bool) -> list[str]:
    """Remove what is damaged, so that the workflow makes it again, and say so.

    Args:
        params: the settings.
        remove: False to say it alone, as a dry run does.

    Returns:
        The paths that have to be made again, the missing ones among them.
    """
    found = faults(params)
    for fault in found:
        print(f"eqssl: {fault.reason}; it is made again", file=sys.stderr, flush=True)
        if remove:
            fault.path.unlink(missing_ok=True)
    return [str(fault.path) for fault in found]
