"""Check a chain of records and the files that they name, and collect the faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from eqssl.machine.records import Record, differs, read_record

Hash = Callable[[Path], str]


@dataclass(frozen=True)
class Fault:
    """A file that is missing or is not what it should be.

    Attributes:
        path: the file.
        reason: the reason in words, with the path.
    """

    path: Path
    reason: str


class Chain:
    """The records of a data set's shards or of a cell, from the first step to the last.

    Args:
        hash_of: gives the SHA-256 of a file.
    """

    def __init__(self, hash_of: Hash) -> None:
        self.hash_of = hash_of
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

    def _checked(self, path: Path, job: str | None, made_of: dict[str, Record | None]) -> Record | None:
        try:
            record = read_record(path)
            if job is not None:
                record.check_job(job)
            record.check_made_of(**{name: other for name, other in made_of.items() if other is not None})
        except (ValueError, OSError) as error:
            self.fault(path, _reason(path, error))
            return None
        for name, stated in record.files.items():
            self._check_file(path.parent / name, stated, path)
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
