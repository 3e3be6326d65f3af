"""Check a chain of records and the files that they name, and collect the faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from eqssl.machine.records import Record, differs, read_record

Hash = Callable[[Path], str]
Watch = Callable[[list[tuple[Path, str]]], Iterable[tuple[Path, str]]]
"""Passes on the files of a record, each with its SHA-256, and may show how many are done."""


@dataclass(frozen=True)
class Fault:
    """A file that is missing or is not what it should be.

    Attributes:
        path: the file.
        reason: the reason in words, with the path.
    """

    path: Path
    reason: str


class Step(NamedTuple):
    """A record of a chain, and what it must be made of.

    Attributes:
        name: by which later steps name it.
        path: the record.
        job: digest of the job that must have made it; None for any.
        made_of: names of the steps whose records it was made of.
    """

    name: str
    path: Path
    job: str | None
    made_of: tuple[str, ...]


class Folders(NamedTuple):
    """Where the records of a cell are: its shards, encoder and training, features, and metrics."""

    shards: Path
    home: Path
    evaluation: Path
    probe: Path


class Digests(NamedTuple):
    """Digests of the jobs that must have made the records of a cell; None for any."""

    shards: str | None
    encoder: str | None
    features: str | None
    probe: str | None


def cell_steps(folders: Folders, digests: Digests) -> list[Step]:
    """The records of a cell, first step first: shards, encoder, training, features, metrics."""
    home = folders.home
    return [
        Step("data", folders.shards / "index.json", digests.shards, ()),
        Step("encoder", home / "encoder.json", digests.encoder, ("data",)),
        Step("pretrain", home / "pretrain.json", None, ("encoder",)),
        Step("equivariance", folders.evaluation / "equivariance.json", digests.features, ("encoder",)),
        Step(
            "metrics", folders.probe / "metrics.json", digests.probe, ("encoder", "pretrain", "equivariance")
        ),
    ]


class Chain:
    """The records of a data set's shards or of a cell, from the first step to the last.

    Args:
        hash_of: gives the SHA-256 of a file.
        watch: watches the files of a record while they are hashed.
    """

    def __init__(self, hash_of: Hash, watch: Watch = iter) -> None:
        self.hash_of = hash_of
        self._watch = watch
        self._seen: dict[Path, Record | None] = {}
        self.faults: list[Fault] = []

    def step(self, path: Path, job: str | None = None, **made_of: Record | None) -> Record | None:
        """Check one record, the files that it names, and what it was made of.

        Args:
            path: the record.
            job: digest of the job that must have made it; None for any.
            made_of: name -> record of each previous step; None for a faulty one.

        Returns:
            The record; None if it is faulty.
        """
        if path in self._seen:
            return self._seen[path]
        record = self._checked(path, job, made_of)
        # the values of a thousand records would fill the memory, and they are not needed again
        self._seen[path] = record and replace(record, values={})
        return record

    def check(self, step: Step, found: Mapping[str, Record | None]) -> Record | None:
        """Check the record of a step.

        Args:
            step: the step.
            found: name -> record of the steps before it; None for a faulty one.
        """
        made_of = {name: found[name] for name in step.made_of if name in found}
        return self.step(step.path, step.job, **made_of)

    def _checked(self, path: Path, job: str | None, made_of: dict[str, Record | None]) -> Record | None:
        try:
            record = read_record(path)
            if job is not None:
                record.check_job(job)
            record.check_made_of(**{name: other for name, other in made_of.items() if other is not None})
        except (ValueError, OSError) as error:
            self.fault(path, _reason(path, error))
            return None
        for file, stated in self._watch([(path.parent / name, sha) for name, sha in record.files.items()]):
            self._check_file(file, stated, path)
        return record

    def _check_file(self, path: Path, stated: str, record: Path) -> None:
        try:
            found = self.hash_of(path)
        except (ValueError, OSError) as error:
            self.fault(path, _reason(path, error))
        else:
            if found != stated:
                self.fault(path, differs(path, found, record, stated))

    def fault(self, path: Path, reason: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(path, reason))


def _reason(path: Path, error: ValueError | OSError) -> str:
    """Why a file cannot be used, with its path in front, as our own errors have it."""
    if isinstance(error, FileNotFoundError):
        return f"{path}: missing"
    return f"{path}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
