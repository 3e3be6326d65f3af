"""The job of each command: the settings that decide its result, and no others.

A job's digest is part of the path of what it makes. Results of other settings stay where they are, and going
back to an earlier setting costs nothing. (New code, or new raw data, replaces the files of a path.)
"""

from __future__ import annotations

from functools import cached_property

from eqssl.config.drawn import DrawnTask, drawn_tasks
from eqssl.config.encoders import AnyEncoder
from eqssl.config.evaluation import FeatureSettings, ProbeSettings, TestViews
from eqssl.config.finetuning import FinetuneSettings
from eqssl.config.grid import Cell
from eqssl.config.groups import GroupName
from eqssl.config.params import Params
from eqssl.config.pretexts import AnyPretext
from eqssl.config.pretraining import PretrainSettings
from eqssl.config.settings import Settings, digest
from eqssl.config.shards import ShardSettings
from eqssl.config.sources import AnySource
from eqssl.config.values import Name, Seed
from eqssl.config.views import ViewSettings


class Job(Settings):
    """Settings of one command."""

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits: equal settings, equal digest."""
        return digest(self.plain())

    def json_text(self) -> str:
        """The job as one line of JSON, as the command line takes it."""
        return self.model_dump_json()


class ShardJob(Job):
    """`eqssl shard`: a source into tars."""

    dataset: Name
    data: AnySource
    shards: ShardSettings


class PretrainJob(Job):
    """`eqssl pretrain`: shards into an encoder."""

    dataset: Name
    group: GroupName
    pretext: Name
    seed: Seed
    data: str
    encoder: AnyEncoder
    views: ViewSettings
    pretrain: PretrainSettings
    task: AnyPretext

    @property
    def cell(self) -> Cell:
        """The cell that this job trains."""
        return Cell(dataset=self.dataset, group=self.group, pretext=self.pretext, seed=self.seed)

    @cached_property
    def folder(self) -> str:
        """Folder of the cell's encoder."""
        return f"results/{self.dataset}/{self.group}/{self.pretext}/s{self.seed}-{self.digest}"


class FeaturesJob(Job):
    """`eqssl features`: a frozen encoder and shards into Parquet."""

    features: FeatureSettings


class TransferJob(FeaturesJob):
    """`eqssl transfer`: a frozen encoder and the shards of another data set into Parquet.

    Attributes:
        dataset: name of that data set, the target.
        data: digest of the job that must have made its shards.
    """

    dataset: Name
    data: str


class ProbeJob(Job):
    """`eqssl probe`: features into metrics."""

    probe: ProbeSettings


class FinetuneJob(Job):
    """`eqssl finetune`: an encoder and shards into accuracies after fine-tuning.

    Attributes:
        finetune: the training.
        views: the distribution of the random views of training images.
        test_views: views of the test images.
        test_seed: decides how these are moved, as for features.
    """

    finetune: FinetuneSettings
    views: ViewSettings
    test_views: TestViews
    test_seed: Seed


class DataPageJob(Job):
    """`eqssl data-page`: shards into a page of the report.

    Attributes:
        dataset: its name.
        data: digest of the job that must have made the shards.
        views: the distribution of the random views.
        tasks: the label tasks of which inputs are shown.
    """

    dataset: Name
    data: str
    views: ViewSettings
    tasks: tuple[DrawnTask, ...]


def shard_job(params: Params, dataset: str) -> ShardJob:
    """The job that shards a data set of the `datasets` table."""
    return ShardJob(dataset=dataset, data=params.datasets[dataset], shards=params.shards)


def pretrain_job(params: Params, cell: Cell) -> PretrainJob:
    """The job that trains the encoder of a cell."""
    return PretrainJob(
        **cell.plain(),
        data=shard_job(params, cell.dataset).digest,
        encoder=params.encoder,
        views=params.views,
        pretrain=params.pretrain_settings(cell.pretext),
        task=params.pretexts[cell.pretext].alone(),
    )


def features_job(params: Params) -> FeaturesJob:
    """The job that extracts features; the same for every cell."""
    return FeaturesJob(features=params.features)


def transfer_job(params: Params, target: str) -> TransferJob:
    """The job that extracts features of another data set; the same for every cell."""
    return TransferJob(features=params.features, dataset=target, data=shard_job(params, target).digest)


def probe_job(params: Params) -> ProbeJob:
    """The job that fits probes; the same for every cell."""
    return ProbeJob(probe=params.probe)


def finetune_job(params: Params) -> FinetuneJob:
    """The job that fine-tunes encoders; the same for every cell."""
    features = params.features
    return FinetuneJob(
        finetune=params.finetune, views=params.views, test_views=features.views, test_seed=features.seed
    )


def data_page_job(params: Params, dataset: str) -> DataPageJob:
    """The job that draws the page of a data set."""
    return DataPageJob(
        dataset=dataset,
        data=shard_job(params, dataset).digest,
        views=params.views,
        tasks=drawn_tasks(params, dataset),
    )


def shard_folder(params: Params, dataset: str) -> str:
    """Folder of a data set's tars and their index.json."""
    return f"data/shards/{dataset}-{shard_job(params, dataset).digest}"


def cell_folder(params: Params, cell: Cell) -> str:
    """Folder of a cell's encoder."""
    return pretrain_job(params, cell).folder


def evaluation_folder(params: Params, cell: Cell) -> str:
    """Folder of a cell's features, below the cell's own."""
    return f"{cell_folder(params, cell)}/eval-{features_job(params).digest}"


def probe_folder(params: Params, cell: Cell) -> str:
    """Folder of a cell's metrics, below its features'."""
    return f"{evaluation_folder(params, cell)}/probe-{probe_job(params).digest}"


def transfer_folder(params: Params, cell: Cell, target: str) -> str:
    """Folder of the features of another data set, below the cell's own."""
    return f"{cell_folder(params, cell)}/on-{target}-{transfer_job(params, target).digest}"


def transfer_probe_folder(params: Params, cell: Cell, target: str) -> str:
    """Folder of the metrics on another data set, below its features'."""
    return f"{transfer_folder(params, cell, target)}/probe-{probe_job(params).digest}"


def finetune_folder(params: Params, cell: Cell) -> str:
    """Folder of the accuracies after fine-tuning, below the cell's own."""
    return f"{cell_folder(params, cell)}/fine-{finetune_job(params).digest}"
