"""Every setting of the pipeline, checked once. This is the only reader of params.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Self

import yaml

from eqssl.config.encoders import AnyEncoder
from eqssl.config.errors import unknown
from eqssl.config.evaluation import FeatureSettings, ProbeSettings
from eqssl.config.grid import Cell, GridSettings
from eqssl.config.groups import GroupName
from eqssl.config.machine import MachineSettings
from eqssl.config.pretexts import AnyPretext
from eqssl.config.pretraining import PretrainSettings
from eqssl.config.settings import Settings
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import AnySource
from eqssl.config.values import Name, Seed
from eqssl.config.views import ViewSettings


class Params(Settings):
    """The whole of params.yaml. The first four keys name the active cell."""

    dataset: Name
    group: GroupName
    pretext: Name
    seed: Seed
    datasets: dict[Name, AnySource]
    shards: ShardSettings
    encoder: AnyEncoder
    views: ViewSettings
    pretrain: PretrainSettings
    features: FeatureSettings
    probe: ProbeSettings
    pretexts: dict[Name, AnyPretext]
    machine: MachineSettings
    grid: GridSettings

    @property
    def cell(self) -> Cell:
        """The active cell: the one that `dvc exp run` executes."""
        return Cell(dataset=self.dataset, group=self.group, pretext=self.pretext, seed=self.seed)

    def cells(self) -> Iterator[Cell]:
        """The cells of the grid, in the order of its lists."""
        grid = self.grid
        for dataset, group, pretext, seed in product(grid.dataset, grid.group, grid.pretext, grid.seed):
            yield Cell(dataset=dataset, group=group, pretext=pretext, seed=seed)

    def pretrain_settings(self, pretext: str) -> PretrainSettings:
        """The section `pretrain`, with what the pretext's own entry changes in it."""
        changed = self.pretexts[pretext].pretrain
        if changed is None:
            return self.pretrain
        values = {**self.pretrain.plain(), **changed.plain()}
        return PretrainSettings.read(values, f"pretexts.{pretext}.pretrain")

    def twins(self) -> dict[str, str]:
        """The plain twin of each pretext that names one."""
        return {name: entry.twin for name, entry in self.pretexts.items() if entry.twin}

    @classmethod
    def load(cls, path: str | Path = "params.yaml") -> Self:
        """Read and check a YAML file.

        Raises:
            ValueError: names the file, every offending key, its value and what is allowed.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: not YAML: {error}") from None
        try:
            return cls.check(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def check(cls, values: object) -> Self:
        """Validate settings as YAML gives them, and what they say of each other."""
        params = cls.read(values)
        for name in params.pretexts:
            params.pretrain_settings(name)
        for name, twin in params.twins().items():
            _check_twin(params, name, twin)
        for where, cell in [("", params.cell), *(("grid.", cell) for cell in params.cells())]:
            _check_cell(params, cell, where)
        return params


def _check_twin(params: Params, name: str, twin: str) -> None:
    """An entry that keeps the symmetry names a plain one, which names none."""
    key, entries = f"pretexts.{name}.twin", params.pretexts
    _among(key, twin, [other for other in entries if other != name])
    if entries[name].is_plain:
        raise ValueError(f"{key}: given {twin!r}, but {name} is plain; allowed: twin: {name} in {twin}")
    if entries[twin].is_plain is False or (entries[twin].is_plain is None and entries[twin].twin):
        raise ValueError(f"{key}: given {twin!r}, allowed: an entry without symmetry and without a twin")


def _check_cell(params: Params, cell: Cell, where: str) -> None:
    """Names of the tables, and a group that the pretext takes."""
    _among(f"{where}dataset", cell.dataset, params.datasets)
    _among(f"{where}pretext", cell.pretext, params.pretexts)
    reason = params.pretexts[cell.pretext].refusal(cell.group)
    if reason:
        raise ValueError(f"{where}group: given {cell.group!r} with pretext {cell.pretext!r}: {reason}")


def _among(key: str, given: str, allowed: Iterable[str]) -> None:
    if given not in allowed:
        raise ValueError(unknown(key, given, allowed))
