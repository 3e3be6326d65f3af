"""Records: what a step made, from what, and whether both are still unchanged.

A record is the JSON file that a step writes last. Beside the step's own values it holds

    files     name -> SHA-256 of each other file of the step,
    made_of   name -> seal of each record that the step has read,
    seal      SHA-256 of everything else in the record.

So the record of the last step names, through the others, every byte that its numbers come from. A reader
checks the seal, the files that it opens, and that records belong together, before it uses anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from eqssl.config.settings import digest
from eqssl.machine.files import read_json, sha256, write_json

SEAL, FILES, MADE_OF = "seal", "files", "made_of"
_OWN = (SEAL, FILES, MADE_OF)


@dataclass(frozen=True)
class Record:
    """A record whose seal has been checked.

    Attributes:
        path: the JSON file.
        values: the step's own values.
        files: name -> SHA-256 of each file; names are relative to the folder of the record.
        made_of: name -> seal of each record that was read.
        seal: SHA-256 of all of these.
    """

    path: Path
    values: Mapping[str, Any]
    files: Mapping[str, str]
    made_of: Mapping[str, str]
    seal: str

    @property
    def job(self) -> Any:
        """The job that made it, from its values or from the `details` of metrics.json."""
        details = self.values.get("details")
        inner = details.get("job") if isinstance(details, Mapping) else None
        return self.values.get("job", inner)

    def file(self, name: str) -> Path:
        """The path of a file of the step, after comparing its content with the record.

        Raises:
            ValueError: the record does not name it, or names another content.
            OSError: it cannot be read.
        """
        path = self.path.parent / name
        if name not in self.files:
            raise ValueError(f"{self.path}: {FILES}: does not name {name}")
        found = sha256(path)
        if found != self.files[name]:
            raise ValueError(differs(path, found, self.path, self.files[name]))
        return path

    def check_made_of(self, **records: Self) -> Self:
        """Refuse a record that was not made of these.

        Args:
            records: name -> record.

        Raises:
            ValueError: names both files.
        """
        for name, record in records.items():
            if self.made_of.get(name) != record.seal:
                raise ValueError(
                    f"{self.path}: was not made of this {name}: given {record.path} with seal "
                    f"{record.seal}, {MADE_OF} states {self.made_of.get(name, 'none')}"
                )
        return self

    def check_job(self, expected: str | None) -> Self:
        """Refuse a record of another job, that is of another cell or of other settings.

        Args:
            expected: digest of the job; None for any.

        Raises:
            ValueError: names the file and both digests.
        """
        found = digest(self.job)
        if expected is not None and found != expected:
            raise ValueError(f"{self.path}: job: made by job {found}, but {expected} is wanted: mixed up")
        return self


def differs(path: Path, found: str, record: Path, stated: object) -> str:
    """The message about a file that is not the one that a record names."""
    text = " ".join(str(stated).split())[:64]  # a record may state anything in the place of a hash
    return f"{path}: SHA-256 is {found}, but {record.name} states {text}: damaged or mixed up"


def seal_of(values: Mapping[str, Any]) -> str:
    """The seal of values that JSON can hold; a seal among them is left out."""
    kept = {key: value for key, value in values.items() if key != SEAL}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_seal(path: Path, values: Mapping[str, Any]) -> None:
    """Refuse values that are not those that were sealed.

    Args:
        path: where they were read, for the message.
        values: the values with their seal.

    Raises:
        ValueError: names the file.
    """
    if seal_of(values) != values[SEAL]:
        raise ValueError(f"{path}: {SEAL}: the content is not the one that was sealed: damaged or edited")


def write_record(
    path: str | Path,
    values: Mapping[str, Any],
    files: Iterable[str] = (),
    made_of: Mapping[str, str] | None = None,
) -> str:
    """Write a record atomically.

    Args:
        path: the JSON file.
        values: the step's own values; `files`, `made_of` and `seal` among them are replaced.
        files: names of the files of the step, relative to the folder of the record; they are written already.
        made_of: name -> seal of each record that was read.

    Returns:
        The seal.
    """
    path = Path(path)
    own = {key: value for key, value in values.items() if key not in _OWN}
    hashes = {name: sha256(path.parent / name) for name in files}
    content = {**own, FILES: hashes, MADE_OF: dict(made_of or {})}
    seal = seal_of(content)
    write_json(path, {**content, SEAL: seal})
    return seal


def read_record(path: str | Path, needed: Sequence[str] = ()) -> Record:
    """Read a record and check its seal.

    Args:
        path: the JSON file.
        needed: keys that its values must have.

    Raises:
        ValueError: it is not JSON, it lacks a key, or its content is not the one that was sealed.
        OSError: it cannot be read.
    """
    path = Path(path)
    content = read_json(path, (*needed, *_OWN))
    files, made_of, seal = content[FILES], content[MADE_OF], content[SEAL]
    check_seal(path, content)
    for key in (FILES, MADE_OF):
        table = content[key]
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise ValueError(f"{path}: {key}: given {table!r}, allowed: a table of hashes")
    values = {key: value for key, value in content.items() if key not in _OWN}
    return Record(path, values, files, made_of, seal)
