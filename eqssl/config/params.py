"""Every setting of the pipeline: typed, frozen, checked once. This is the only reader of params.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from eqssl.config.settings import Settings

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
GroupName = Literal["trivial", "C2", "C4", "C8", "D1", "D2", "D4", "D8", "SO2", "O2"]


class DatasetSettings(Settings):
    """One entry of the `datasets` table: where images come from and how they are laid down in shards.

    Attributes:
        source: the kind of source (`eqssl.data.sources`).
        path: folder or file of the source; None for a source that finds its own.
        turned: whether each image is turned once, by its own angle, before it is stored.
        size: side of the stored square in pixels; None keeps the source's size.
        image_column, label_column: names of the columns, for sources that have columns.
    """

    source: str
    path: str | None = None
    turned: bool
    size: Count | None = None
    image_column: str = "image"
    label_column: str = "label"


class ShardSettings(Settings):
    """How shards are written: tars per split, share of training images kept for validation, order."""

    count: Count
    validation: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed


class EncoderSettings(Settings):
    """The encoder.

    Attributes:
        name: architecture (`eqssl.encoders`).
        width: channels of each stage for the trivial group; None for those of the architecture's paper.
        kernel: side of the filters.
        match: `params` chooses the fields of other groups so that the number of parameters is the same,
            `channels` so that the number of channels is.
        group_pooling: how the invariant feature is made.
        downsampling: how the side of a map is halved: `pool` (mean over windows of the right parity, then the
            convolution), `boxed` (the convolution, then such a mean, as one convolution), or `strided`, which
            keeps the symmetry on few sizes only and is refused on all others.
        equivariant_stages: so many of the first stages keep the symmetry, the others are plain; None for all.
    """

    name: str
    width: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    kernel: Literal[3, 5]
    match: Literal["params", "channels"]
    group_pooling: Literal["mean", "max"]
    downsampling: Literal["pool", "boxed", "strided"] = "pool"
    equivariant_stages: Annotated[int, Field(ge=1)] | None = None


class ViewSettings(Settings):
    """Random views of an image: one geometric resampling, then changes of brightness and colour.

    Attributes:
        crop_scale: least and largest share of the area that a crop keeps.
        crop_ratio: least and largest ratio of the crop's width to its height.
        turn: `none`, `grid` (a random element of D4) or `angle` (any angle, and a flip with probability 1/2).
        brightness, contrast, saturation: a factor is drawn from 1 - value to 1 + value.
        hue: the hue is turned by up to this share of a full circle, either way.
        jitter: probability that brightness, contrast, saturation and hue change at all.
        grayscale: probability that the colours are dropped.
        blur: probability of a Gaussian blur.
    """

    crop_scale: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    crop_ratio: tuple[Positive, Positive]
    turn: Literal["none", "grid", "angle"]
    brightness: Probability
    contrast: Probability
    saturation: Probability
    hue: Annotated[float, Field(ge=0, le=0.5)]
    jitter: Probability
    grayscale: Probability
    blur: Probability

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: given {[low, high]}, allowed: the smaller number first")
        return self


class PretrainSettings(Settings):
    """Optimisation of the encoder.

    Attributes:
        precision: of the forward and backward pass.
        compile: whether `torch.compile` writes the encoder's code. It takes about a minute, and saves a GPU
            the launches of many small kernels.
        threads: fixed, because sums in another order give other bits.
    """

    epochs: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=2)]
    optimiser: Literal["adamw", "lars"]
    learning_rate: Positive
    weight_decay: NotNegative
    warmup_epochs: NotNegative
    precision: Literal["auto", "float32", "bfloat16"]
    compile: bool
    threads: Count

    @model_validator(mode="after")
    def _warm_up_fits(self) -> Self:
        if self.warmup_epochs > self.epochs:
            allowed = f"at most epochs ({self.epochs})"
            raise ValueError(f"warmup_epochs: given {self.warmup_epochs}, allowed: {allowed}")
        return self


class FeatureSettings(Settings):
    """Which features of the frozen encoder are stored: number of stages from the end, and the test views."""

    stages: Count
    views: Annotated[tuple[Literal["stored", "grid", "angle"], ...], Field(min_length=1)]
    seed: Seed

    @model_validator(mode="after")
    def _stored_first(self) -> Self:
        if self.views[0] != "stored" or len(set(self.views)) != len(self.views):
            raise ValueError(f"views: given {list(self.views)}, allowed: 'stored' first, each view once")
        return self


class ProbeSettings(Settings):
    """Linear probes and nearest neighbours on stored features.

    Attributes:
        shares: per cent of the training labels that probes are fitted on.
        draws: balanced nested draws for the shares below 100.
        strengths: least and largest l2 strength lambda = 1 / (C n), and how many between, in equal ratios.
        tolerance, iterations: when logistic regression stops.
        neighbours, temperature: k and T of the cosine k-nearest-neighbour vote.
        bootstrap: resamples behind each 95 % interval.
        seed: of the draws and the bootstrap.
    """

    shares: tuple[Annotated[int, Field(ge=1, le=100)], ...]
    draws: Count
    strengths: tuple[Positive, Positive, Annotated[int, Field(ge=13)]]
    tolerance: Positive
    iterations: Count
    neighbours: Count
    temperature: Positive
    bootstrap: Annotated[int, Field(ge=100)]
    seed: Seed


class MachineSettings(Settings):
    """How this machine runs the work. None of these changes a result or a path."""

    device: str
    checkpoint_seconds: Positive


class GridSettings(Settings):
    """The cells of `all`: the product of four lists."""

    dataset: Annotated[tuple[Name, ...], Field(min_length=1)]
    group: Annotated[tuple[GroupName, ...], Field(min_length=1)]
    pretext: Annotated[tuple[Name, ...], Field(min_length=1)]
    seed: Annotated[tuple[Seed, ...], Field(min_length=1)]


class Cell(Settings):
    """One cell of the grid: a data set, a group, a pretext by its name in `pretexts`, a seed."""

    dataset: Name
    group: GroupName
    pretext: Name
    seed: Seed


class Params(Settings):
    """The whole of params.yaml. The first four keys name the active cell."""

    dataset: Name
    group: GroupName
    pretext: Name
    seed: Seed
    datasets: dict[Name, DatasetSettings]
    shards: ShardSettings
    encoder: EncoderSettings
    views: ViewSettings
    pretrain: PretrainSettings
    features: FeatureSettings
    probe: ProbeSettings
    pretexts: dict[Name, dict[str, Any]]
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
        changed = self.pretexts[pretext].get("pretrain", {})
        if not isinstance(changed, Mapping):
            raise ValueError(f"pretexts.{pretext}.pretrain: given {changed!r}, allowed: a table of settings")
        return PretrainSettings.read({**self.pretrain.plain(), **changed}, f"pretexts.{pretext}.pretrain")

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
        """Validate settings as YAML gives them, the pretexts' own tables and every cell included."""
        params = cls.read(values)
        _check_tables(params)
        for where, cell in [("", params.cell), *(("grid.", cell) for cell in params.cells())]:
            _check_cell(params, cell, where)
        return params


def _check_tables(params: Params) -> None:
    """Let the source of each data set, each pretext and the encoder check their own entries."""
    sources = import_module("eqssl.data.sources")
    pretexts = import_module("eqssl.pretexts")
    encoders = import_module("eqssl.encoders")
    _among("encoder.name", params.encoder.name, encoders.names())
    for name, dataset in params.datasets.items():
        _among(f"datasets.{name}.source", dataset.source, sources.names())
    for name, entry in params.pretexts.items():
        pretexts.read_settings(name, entry)
        params.pretrain_settings(name)


def _check_cell(params: Params, cell: Cell, where: str) -> None:
    _among(f"{where}dataset", cell.dataset, params.datasets)
    _among(f"{where}pretext", cell.pretext, params.pretexts)
    reason = import_module("eqssl.pretexts").refusal(cell.pretext, params.pretexts[cell.pretext], cell.group)
    if reason:
        raise ValueError(f"{where}group: given {cell.group!r} with pretext {cell.pretext!r}: {reason}")


def _among(key: str, given: str, allowed: object) -> None:
    names = sorted(allowed)  # type: ignore[call-overload]
    if given not in names:
        raise ValueError(f"{key}: given {given!r}, allowed: {', '.join(names)}")
