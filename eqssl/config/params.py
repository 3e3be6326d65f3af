"""Every setting of the pipeline, checked once. This is the only reader of params.yaml."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Self

from eqssl.config.encoders import AnyEncoder
from eqssl.config.errors import TABLE, unknown
from eqssl.config.evaluation import FeatureSettings, ProbeSettings
from eqssl.config.finetuning import FinetuneSettings
from eqssl.config.grid import Cell, GridSettings
from eqssl.config.groups import GroupName
from eqssl.config.machine import MOST_CELLS, MachineSettings
from eqssl.config.masks import group_refusal, turn_refusal, views_refusal
from eqssl.config.plain import check_plain, shown
from eqssl.config.pretexts import AnyPretext
from eqssl.config.pretraining import PretrainSettings
from eqssl.config.settings import Settings
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import AnySource, OwnSettings
from eqssl.config.transfer import TransferSettings
from eqssl.config.values import Name, Seed
from eqssl.config.views import ViewSettings
from eqssl.config.yaml_files import read_yaml


class Params(Settings):
    """The whole of params.yaml. The first four keys name the active cell.

    Example:
        >>> import eqssl
        >>> params = eqssl.Params.load("params.yaml")
        >>> params.group, params.pretexts["inv_byol"].twin, len(list(params.cells()))
        ('C4', 'byol', 18)
        >>> sky = eqssl.Params.load("params.yaml", "experiments/sky.yaml")
        >>> sky.grid.group
        ('trivial', 'C4', 'D4')
    """

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
    finetune: FinetuneSettings
    transfer: TransferSettings = TransferSettings()
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

    def targets(self, cell: Cell) -> tuple[str, ...]:
        """The data sets that the features of a cell's encoder are transferred to: all but its own."""
        return tuple(name for name in self.transfer.datasets if name != cell.dataset)

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
    def load(cls, path: str | Path = "params.yaml", *overlays: str | Path) -> Self:
        """Read and check a YAML file.

        Args:
            path: the file.
            overlays: files of settings that replace some of its own, as after Snakemake's `--configfile`.

        Raises:
            ValueError: names the file, every offending key, its value and what is allowed.
            OSError: it is not a regular file or cannot be read.
        """
        values = _table(path)
        for overlay in overlays:
            values = merged(values, _table(overlay))
        try:
            return cls.check(values)
        except ValueError as error:
            raise ValueError(f"{file_names(path, *overlays)}: {error}") from None

    @classmethod
    def check(cls, values: object) -> Self:
        """Validate settings as YAML gives them, and check that they agree with each other."""
        check_plain(values)
        params = cls.read(values)
        for name, entry in params.pretexts.items():
            params.pretrain_settings(name)
            entry.changed_views(params.views, f"pretexts.{name}")
        for name, twin in params.twins().items():
            _check_twin(params, name, twin)
        _check_names(params, "", [params.dataset], [params.pretext], [params.group])
        grid = params.grid
        _check_names(params, "grid.", grid.dataset, grid.pretext, grid.group)
        _check_size(params)
        _check_targets(params)
        _check_data(params, "", [params.dataset], [params.pretext], [params.group])
        _check_data(params, "grid.", grid.dataset, grid.pretext, grid.group)
        if params.probe.stages > params.features.stages:
            allowed = f"1 to {params.features.stages}, the number of features.stages"
            raise ValueError(f"probe.stages: given {params.probe.stages}, allowed: {allowed}")
        return params


def _table(path: str | Path) -> Any:
    """The settings in a file, which may not be empty."""
    values = read_yaml(path)
    if not isinstance(values, dict):
        given = "is empty" if values is None else f"given {shown(values)}"
        raise ValueError(f"{path}: {given}, allowed: {TABLE}")
    return values


def merged(values: Any, changes: Any) -> Any:
    """Settings with others in place of some of them; tables are merged key by key, as Snakemake does."""
    if not isinstance(values, dict) or not isinstance(changes, dict):
        return changes
    return {**values, **{key: merged(values.get(key), change) for key, change in changes.items()}}


def _check_twin(params: Params, name: str, twin: str) -> None:
    """An entry that keeps the symmetry names a plain one, which names none."""
    key, entries = f"pretexts.{name}.twin", params.pretexts
    _among(key, twin, [other for other in entries if other != name])
    if entries[name].is_plain:
        raise ValueError(f"{key}: given {twin!r}, but {name} is plain; allowed: twin: {name} in {twin}")
    if entries[twin].is_plain is False or (entries[twin].is_plain is None and entries[twin].twin):
        raise ValueError(f"{key}: given {twin!r}, allowed: an entry without symmetry and without a twin")


def _check_names(
    params: Params, where: str, datasets: Iterable[str], pretexts: Sequence[str], groups: Sequence[str]
) -> None:
    """Names of the tables, and groups that the pretexts take."""
    for dataset in datasets:
        _among(f"{where}dataset", dataset, params.datasets)
    for pretext in pretexts:
        _among(f"{where}pretext", pretext, params.pretexts)
    for pretext, group in product(pretexts, groups):
        reason = params.pretexts[pretext].refusal(group)
        if reason:
            raise ValueError(f"{where}group: given {group!r} with pretext {pretext!r}: {reason}")


def _check_data(
    params: Params, where: str, datasets: Iterable[str], pretexts: Sequence[str], groups: Sequence[str]
) -> None:
    """What is known of data sets before their images are read: their mask, and that labels are ignored."""
    for name in datasets:
        data = params.datasets[name]
        found = [(f"{where}group", group, group_refusal(data.mask, group)) for group in groups]
        found.append(("views.turn", params.views.turn, turn_refusal(data.mask, params.views.turn)))
        for pretext in pretexts:
            changed = params.pretexts[pretext].changed_views(params.views, f"pretexts.{pretext}")
            found += [(f"{key}.turn", v.turn, turn_refusal(data.mask, v.turn)) for key, v in changed.items()]
        views = params.features.views
        found.append(("features.views", "angle", views_refusal(data.mask, views)))
        for key, given, reason in found:
            if reason:
                cause = f"datasets.{name}.mask: none"
                raise ValueError(f"{key}: given {given!r} with {cause}: {reason}, or mask: disc")
        for pretext in pretexts:
            if isinstance(data, OwnSettings) and not data.labelled and params.pretexts[pretext].needs_labels:
                cause = f"datasets.{name}.labelled: false"
                reason = "it learns from labels; allowed: a pretext that needs none, or labelled: true"
                raise ValueError(f"{where}pretext: given {pretext!r} with {cause}: {reason}")


def _check_targets(params: Params) -> None:
    """Refuse to transfer to what is no data set, has no labels, or has other channels, as far as is known."""
    usable = [name for name, data in params.datasets.items() if data.has_labels]
    own = dict.fromkeys([params.dataset, *params.grid.dataset])
    for position, name in enumerate(params.transfer.datasets):
        key = f"transfer.datasets.{position}"
        if name in params.datasets and name not in usable:
            raise ValueError(f"{unknown(key, name, usable)}, which have labels")
        _among(key, name, params.datasets)
        channels = params.datasets[name].channels
        for other in own:
            trained = params.datasets[other].channels
            if None not in (channels, trained) and channels != trained:
                cause = f"datasets.{other}.channels: {trained}"
                allowed = f"a data set of as many channels, or datasets.{name}.channels: {trained}"
                raise ValueError(
                    f"{key}: given {name!r} of {channels} channels with {cause}, allowed: {allowed}"
                )


def file_names(path: str | Path, *overlays: str | Path) -> str:
    """The files that settings were loaded from, for messages."""
    return ", ".join(map(str, [path, *overlays]))


def _check_size(params: Params) -> None:
    """Refuse a grid with more cells than `machine.most_cells`. Cells are counted without making them."""
    grid, most = params.grid, params.machine.most_cells
    cells = math.prod(map(len, (grid.dataset, grid.group, grid.pretext, grid.seed)))
    if cells > most:
        more = f"raise machine.most_cells (to at most {MOST_CELLS}) if you mean it"
        raise ValueError(f"grid: given lists for {cells} cells, allowed: at most {most}; {more}")


def _among(key: str, given: str, allowed: Iterable[str]) -> None:
    if given not in allowed:
        raise ValueError(unknown(key, given, allowed))
