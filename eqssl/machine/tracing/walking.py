"""Walk from a number down to the source of its images, and check every link as `eqssl verify` does.

What a step says comes from its own record if that is whole, else from the copy in metrics.json, which holds
the records of the encoder, the training and the features.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eqssl.config.grid import IDENTITY
from eqssl.machine.cell_numbers import TARGET
from eqssl.machine.chain import Chain, Digests, Fault, Folders, Hash, Step, cell_steps
from eqssl.machine.files import sha256
from eqssl.machine.live.progress import track
from eqssl.machine.records import Record, read_record
from eqssl.machine.tracing import facts
from eqssl.machine.tracing.locating import locate
from eqssl.machine.tracing.numbers import Number, number_of
from eqssl.machine.tracing.tables import section
from eqssl.machine.transferred import read_measured

LARGE = 2**30
"""From so many bytes of files of one record on, progress is shown."""


@dataclass(frozen=True)
class Link:
    """One step of the chain.

    Attributes:
        name: of the step.
        path: the record, or of the number the file that it was read from; None where there is none, or
            nothing leads to it.
        seal: of the record; None if it is missing or damaged.
        files: name -> SHA-256 of each other file of the step.
        facts: what is known of the step; None for what is not recorded.
        versions: of the software and the machine; None for what is not recorded; empty for no step.
        faults: files that are missing or damaged.
        checked: False if the file could not be compared with anything.
    """

    name: str
    path: Path | None
    seal: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    checked: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether nothing is missing or damaged; None if nothing was checked."""
        if self.faults:
            return False
        return True if self.checked and self.path is not None else None


@dataclass(frozen=True)
class Trace:
    """A number and its chain, from the number down.

    Attributes:
        cell: what names the cell; empty if its metrics are damaged.
        root: the folder of the project.
        home: the folder of the cell.
        number: the number.
        links: number, probe, features, training, encoder, shards, source. After the features of a transfer
            comes target, the shards of the data set that was read.
    """

    cell: Mapping[str, Any]
    root: Path
    home: Path
    number: Number
    links: tuple[Link, ...]

    @property
    def faults(self) -> list[Fault]:
        """The faults of all links."""
        return [fault for link in self.links for fault in link.faults]


def trace(path: Path, number: str | None = None, cell: str | None = None, hash_of: Hash = sha256) -> Trace:
    """The chain of a number.

    Args:
        path: a metrics.json, metrics/cell.json or metrics/grid.csv.
        number: its name; None for the accuracy with all labels, or what there is in its place.
        cell: `DATASET/GROUP/PRETEXT/sSEED`, the row of a table.
        hash_of: gives the SHA-256 of a file.

    Raises:
        ValueError: the file holds no numbers of a cell, or not this one; names the allowed ones.
        OSError: the file cannot be read.
    """
    located = locate(path, cell)
    walk = _Walk(located.metrics, hash_of)
    chosen = number_of(walk.measured, number)
    values = walk.values("metrics")
    links = (
        Link(
            "number",
            located.table or located.metrics,
            faults=located.faults,
            checked=walk.measured is not None,
        ),
        walk.link("probe", "metrics", facts.probe(values, chosen.name), section(values, "details")),
        walk.link("features", "equivariance", facts.features(walk.values("equivariance"), walk.code())),
        *([walk.link("target", "target", facts.shards(walk.values("target")))] if walk.transferred else []),
        walk.link("training", "pretrain", facts.training(walk.values("pretrain"), walk.values("encoder"))),
        walk.link("encoder", "encoder", facts.encoder(walk.values("encoder"))),
        walk.link("shards", "data", facts.shards(walk.values("data"))),
        Link("source", None, facts=facts.source(walk.values("data"), walk.raw(), walk.values("encoder"))),
    )
    identity = {name: values[name] for name in (*IDENTITY, TARGET) if name in values}
    return Trace(identity, walk.root, walk.home, chosen, links)


class _Walk:
    """The records of a cell, each checked once.

    Args:
        metrics: the cell's metrics.json.
        hash_of: gives the SHA-256 of a file.

    Raises:
        ValueError: the file is no metrics.json of a cell.
    """

    def __init__(self, metrics: Path, hash_of: Hash) -> None:
        evaluation, self.home = metrics.parent.parent, metrics.parent.parent.parent
        self.root = [*self.home.parents, self.home][:5][-1]
        self.measured, reason = _measured(metrics, self.home)
        shards, target = self._shards(), self._target(evaluation)
        self.transferred = target is not None
        folders = Folders(shards or self.root, self.home, evaluation, metrics.parent)
        digests = Digests(
            shards.name.rpartition("-")[2] if shards else None,
            _digest(self.home, r"s\d+"),
            _digest(evaluation, "eval|on-[A-Za-z0-9_]+"),
            _digest(metrics.parent, "probe"),
        )
        steps = [step for step in cell_steps(folders, digests) if shards or step.name != "data"]
        if target is not None:
            steps.insert(0, Step("target", target / "index.json", target.name.rpartition("-")[2], ()))
        self._paths = {step.name: step.path for step in steps}
        self._records: dict[str, Record | None] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._check(Chain(hash_of, _watched), steps)
        if reason is not None and not self._faults["metrics"]:  # sealed, but not the numbers of a cell
            self._faults["metrics"].append(Fault(metrics, reason))

    def _check(self, chain: Chain, steps: Iterable[Step]) -> None:
        for step in steps:
            before = len(chain.faults)
            found = self._records
            if step.name == "equivariance" and "target" in found:  # made of the target's images
                step, found = step._replace(made_of=("encoder", "data")), {**found, "data": found["target"]}
            self._records[step.name] = chain.check(step, found)
            self._faults[step.name] = chain.faults[before:]

    def _shards(self) -> Path | None:
        """The folder of the shards; None if neither encoder.json nor metrics.json can name it."""
        try:
            encoder: Mapping[str, Any] = read_record(self.home / "encoder.json").values
        except (ValueError, OSError):
            encoder = section(self.measured.values, "details", "encoder") if self.measured else {}
        return self._shards_of(section(encoder, "job"))

    def _target(self, evaluation: Path) -> Path | None:
        """The folder of the shards that a transfer has read; None for the features of a cell's own images."""
        try:
            features: Mapping[str, Any] = read_record(evaluation / "equivariance.json").values
        except (ValueError, OSError):
            features = section(self.measured.values, "details", "equivariance") if self.measured else {}
        return self._shards_of(section(features, "job"))

    def _shards_of(self, job: Mapping[str, Any]) -> Path | None:
        """The folder of the shards that a job names; None if it names none."""
        name = "{}-{}".format(*(job.get(key) for key in ("dataset", "data")))
        return self.root / "data/shards" / name if re.fullmatch(r"[A-Za-z0-9_]+-[0-9a-f]{8}", name) else None

    def values(self, step: str) -> Mapping[str, Any]:
        """What a step says."""
        record = self._records.get(step)
        if record is not None:
            return record.values
        if step == "metrics" or self.measured is None:
            return {}
        return section(self.measured.values, "details", step)

    def link(
        self, name: str, step: str, told: Mapping[str, Any], versions: Mapping[str, Any] | None = None
    ) -> Link:
        """The link of a step; its versions are in its record, or in the table that is given."""
        made = facts.versions(self.values(step) if versions is None else versions)
        if step in ("data", "target"):
            made["eqssl"] = self.values(step).get("version")
        if step not in self._paths:
            named = self.home / "encoder.json"
            fault = Fault(named, f"{named}: damaged or missing, and only it says where the shards are")
            return Link(name, None, facts=told, versions=made, faults=(fault,))
        record = self._records[step]
        seal, files = (record.seal, record.files) if record else (None, {})
        return Link(name, self._paths[step], seal, files, told, made, tuple(self._faults[step]))

    def code(self) -> str | None:
        """Digest of the code that made the features; None if their files are missing or damaged."""
        record = self._records["equivariance"]
        if record is None or self._faults["equivariance"] or not record.files:
            return None
        return facts.code_of_features(record.path.parent / min(record.files))

    def raw(self) -> str | None:
        """The version of the source's files, which index.json states."""
        record = self._records.get("data")
        return record.made_of.get("raw") if record else None


def _measured(metrics: Path, home: Path) -> tuple[Record | None, str | None]:
    """The metrics, or what is wrong with them.

    Raises:
        ValueError: they are damaged, and no encoder is where that of a cell would be.
    """
    try:
        return read_measured(metrics), None
    except (ValueError, OSError) as error:
        if not (home / "encoder.json").exists():
            raise ValueError(f"{error}; and it is not in the folder of a cell") from None
        return None, str(error)


def _digest(folder: Path, kind: str) -> str | None:
    """The digest of a job in the name of the folder that it has made; None for another name."""
    match = re.fullmatch(rf"{kind}-([0-9a-f]{{8}})", folder.name)
    return match[1] if match else None


def _watched(files: list[tuple[Path, str]]) -> Iterable[tuple[Path, str]]:
    """The files of a record, with progress if they are large."""
    size = sum(path.stat().st_size for path, _ in files if path.is_file())
    return track(files, len(files), "hashing", "files") if size >= LARGE else files
