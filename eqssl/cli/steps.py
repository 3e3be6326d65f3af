"""Commands that rules of the workflow give: a step each. People can give them too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eqssl.cli.adding import STEPS, Commands, Function, add, add_twins, number, whole_number
from eqssl.cli.holding import device, processor
from eqssl.cli.parsers import Parser
from eqssl.cli.reading import budget_of, claims_given, follow_of, job_of, twins_of

if TYPE_CHECKING:
    from eqssl.config.jobs import FeaturesJob
    from eqssl.data.loading.location import Budget

MOST_PROCESSES = 64
MOST_SECONDS = 1e9
_SHARDS = "data/shards/sky-5d2c81f0"
_HOME = "results/sky/C4/contrastive/s0-0f3c9a2e"
_PROBE = f"{_HOME}/eval-7b1e44d9/probe-c0ffee12"
_FEATURES_JOB = '{"features": {"stages": 1, "views": ["stored"], "turned": 100, "seed": 0}}'
_SHARD_JOB = (
    '{"dataset": "sky", "data": {"source": "sky", "turned": true}, '
    '"shards": {"count": 2, "validation": 0.1, "test": 0.2, "most_shared": 0.01, "seed": 0}}'
)


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    shard = _step(commands, "shard", _shard, f"--job '{_SHARD_JOB}' --out {_SHARDS}")
    training = f'--job "$(cat pretrain.json)" --shards {_SHARDS} --out {_HOME}'
    pretrain = _step(commands, "pretrain", _pretrain, training, f"{training} --device cuda:1")
    given = f"--shards {_SHARDS} --encoder {_HOME} --out"
    features = _step(
        commands, "features", _features, f"--job '{_FEATURES_JOB}' {given} {_HOME}/eval-7b1e44d9"
    )
    transfer = _step(
        commands, "transfer", _transfer, f'--job "$(cat transfer.json)" {given} {_HOME}/on-2e5a90c4'
    )
    finetune = _step(
        commands, "finetune", _finetune, f'--job "$(cat finetune.json)" {given} {_HOME}/fine-91d3b7aa'
    )
    measured = f"--evaluation {_HOME}/eval-7b1e44d9 --encoder {_HOME} --out {_PROBE}"
    probe = _step(commands, "probe", _probe, f'--job "$(cat probe.json)" {measured}')
    for added in (shard, pretrain, features, transfer, finetune, probe):
        what = "the job's settings as JSON; `snakemake -n -p` prints those of each step"
        added.add_argument("--job", required=True, help=what)
        added.add_argument("--out", required=True, type=Path, help="folder of the outputs")
    shard.add_argument("--raw", default="", help="version of the source's files, for index.json")
    shard.add_argument(
        "--threads", type=whole_number, default=1, help="processes that prepare images (default: 1)"
    )
    for added in (pretrain, features, transfer, finetune):
        where = "folder of the tars and index.json, or its address (https://..., s3://...)"
        added.add_argument("--shards", required=True, help=where)
        _add_budget(added)
        added.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    between = "time between checkpoints"
    pretrain.add_argument("--checkpoint-seconds", type=number, default=20.0, help=between)
    tracker = "none, tensorboard, mlflow, wandb or dvclive (default: none)"
    pretrain.add_argument("--tracker", default="none", help=tracker)
    for added in (features, transfer, finetune, probe):
        added.add_argument("--encoder", required=True, type=Path, help="folder of the encoder")
        added.add_argument("--cell", help="digest of the job that must have made the encoder (default: any)")
    probe.add_argument("--evaluation", required=True, type=Path, help="folder of the features")
    probe.add_argument("--features", help="digest of the job that must have made the features (default: any)")
    _add_gathering_commands(commands)
    _add_page_commands(commands)


def _step(commands: Commands, name: str, function: Function, *examples: str) -> Parser:
    """Add a command of a rule; examples are what follows its name."""
    return add(commands, name, function, STEPS, [f"eqssl {name} {example}" for example in examples])


def _add_budget(added: Parser) -> None:
    streamed = "MiB of a split to keep decoded; else it is streamed"
    added.add_argument("--decoded-mb", type=whole_number, help=streamed)
    added.add_argument("--cache-mb", type=whole_number, help="MiB of fetched tars to keep")


def _add_gathering_commands(commands: Commands) -> None:
    example = f"--metrics {_PROBE}/metrics.json --encoder {_HOME} --into metrics model"
    publish = _step(commands, "publish", _publish, example)
    publish.add_argument("--metrics", required=True, type=Path, help="the cell's metrics.json")
    publish.add_argument("--encoder", required=True, type=Path, help="the cell's folder of the encoder")
    publish.add_argument("--finetuned", type=Path, help="the cell's finetune.json, if it has one")
    into = "folders of the two copies"
    publish.add_argument("--into", required=True, nargs=2, type=Path, metavar=("METRICS", "MODEL"), help=into)
    example = (
        "--table metrics/grid.csv --summary metrics/grid.json results/*/*/*/*/eval-*/probe-*/metrics.json"
    )
    summary = _step(commands, "summary", _summary, example)
    summary.add_argument("--table", required=True, type=Path, help="CSV file to write")
    summary.add_argument("--summary", required=True, type=Path, help="JSON file to write")
    _add_finetuned(summary)
    summary.add_argument("metrics", nargs="+", type=Path, metavar="METRICS", help="metrics.json of each cell")
    example = "--table metrics/transfer.csv results/*/*/*/*/on-*/probe-*/metrics.json"
    transfers = _step(commands, "transfer-table", _transfer_table, example)
    transfers.add_argument("--table", required=True, type=Path, help="CSV file to write")
    transfers.add_argument(
        "metrics", nargs="+", type=Path, metavar="METRICS", help="metrics.json of each transfer"
    )


def _add_page_commands(commands: Commands) -> None:
    cell = f"--cell {_PROBE}/metrics.json {_HOME}/loss.csv"
    examples = [
        f"--out report/index.html {cell}",
        f"--out report/index.html {cell} --shards {_SHARDS} --data-page sky",
    ]
    report = _step(commands, "report", _report, *examples)
    report.add_argument("--out", required=True, type=Path, help="HTML file to write")
    pair = report.add_argument("--cell", dest="cells", required=True, action="append", nargs=2, type=Path)
    pair.metavar, pair.help = (
        ("METRICS", "LOSS"),
        "metrics.json and loss.csv of a cell (may be given several times)",
    )
    images = (
        "folder of a data set's shards, from which nearest neighbours are shown (may be given several times)"
    )
    report.add_argument("--shards", action="append", default=[], type=Path, help=images)
    page = "data set whose page data/NAME.html lies beside the report (may be given several times)"
    report.add_argument("--data-page", action="append", default=[], metavar="NAME", help=page)
    add_twins(report)
    claims = (
        "JSON list of what the report judges, each [key, text, pretexts, against, metric] (default: none)"
    )
    report.add_argument("--claims", default="[]", help=claims)
    _add_finetuned(report)
    example = f'--shards {_SHARDS} --settings "$(cat page.json)" --out report/data/sky.html'
    data = _step(commands, "data-page", _data_page, example)
    data.add_argument("--shards", required=True, type=Path, help="folder of the tars and index.json")
    settings = "the settings of the page as JSON; `snakemake -n -p` prints them"
    data.add_argument("--settings", required=True, help=settings)
    data.add_argument("--out", required=True, type=Path, help="HTML file to write")


def _shard(options: argparse.Namespace) -> None:
    """Write a data set as WebDataset tars with an index."""
    from eqssl.config.jobs import ShardJob

    if not 1 <= options.threads <= MOST_PROCESSES:
        raise ValueError(f"--threads: given {options.threads}, allowed: 1 to {MOST_PROCESSES}")
    job = job_of(ShardJob, options.job)
    with processor(1, options.threads) as cores:
        from eqssl.data.shards.writing import write_shards

        write_shards(job, options.out, cores, options.raw)


def _pretrain(options: argparse.Namespace) -> None:
    """Train the encoder of one cell; a killed run resumes from its last checkpoint."""
    from eqssl.config.jobs import PretrainJob

    if not 0 < options.checkpoint_seconds <= MOST_SECONDS:
        allowed = f"more than 0 and at most {MOST_SECONDS:g}"
        raise ValueError(f"--checkpoint-seconds: given {options.checkpoint_seconds}, allowed: {allowed}")
    follow = follow_of(options)
    job = job_of(PretrainJob, options.job)
    with device(options.device), processor(job.pretrain.threads):
        from eqssl.evaluation.pretext_accuracy import measure_pretext
        from eqssl.training import pretrain

        pretrain(
            job,
            options.shards,
            options.out,
            options.device,
            options.checkpoint_seconds,
            measure_pretext,
            budget_of(options),
            follow,
        )


def _features(options: argparse.Namespace) -> None:
    """Extract the features of a frozen encoder to Parquet and measure its equivariance."""
    from eqssl.config.jobs import FeaturesJob

    _extract(job_of(FeaturesJob, options.job), options)


def _transfer(options: argparse.Namespace) -> None:
    """Extract the features of a frozen encoder on another data set, for `probe` to judge."""
    from eqssl.config.jobs import TransferJob

    _extract(job_of(TransferJob, options.job), options)


def _extract(job: FeaturesJob, options: argparse.Namespace) -> None:
    with device(options.device), processor(1):
        from eqssl.evaluation.features import extract

        extract(job, *_encoder_and_images(options))


def _encoder_and_images(options: argparse.Namespace) -> tuple[str, Path, Path, str, str | None, Budget]:
    """What steps are given that read an encoder and shards, after their job."""
    return (
        options.shards,
        options.encoder,
        options.out,
        options.device,
        options.cell,
        budget_of(options),
    )


def _finetune(options: argparse.Namespace) -> None:
    """Train a frozen encoder further, on shares of the labels, and measure its accuracy."""
    from eqssl.config.jobs import FinetuneJob

    job = job_of(FinetuneJob, options.job)
    with device(options.device), processor(1):
        from eqssl.evaluation.finetuning import finetune

        finetune(job, *_encoder_and_images(options))


def _probe(options: argparse.Namespace) -> None:
    """Fit probes on stored features and write the metrics of the cell."""
    from eqssl.config.jobs import ProbeJob

    job = job_of(ProbeJob, options.job)
    with processor(1):
        from eqssl.evaluation.probing import evaluate

        evaluate(job, options.evaluation, options.encoder, options.out, options.cell, options.features)


def _publish(options: argparse.Namespace) -> None:
    """Copy one cell's metrics and encoder to the paths that DVC compares."""
    from eqssl.machine.store import publish

    metrics, model = options.into
    publish(options.metrics, options.encoder, metrics, model, options.finetuned)


def _summary(options: argparse.Namespace) -> None:
    """Gather the metrics of all cells in one table."""
    with processor(1):
        from eqssl.evaluation.summary import summarise

        summarise(options.metrics, options.table, options.summary, options.finetuned)


def _transfer_table(options: argparse.Namespace) -> None:
    """Gather the metrics of all transfers in one table."""
    with processor(1):
        from eqssl.evaluation.transfer_table import write_transfer_table

        write_transfer_table(options.metrics, options.table)


def _add_finetuned(command: Parser) -> None:
    text = "finetune.json of each cell, if they have one"
    command.add_argument("--finetuned", nargs="*", default=[], type=Path, metavar="FINETUNE", help=text)


def _report(options: argparse.Namespace) -> None:
    """Write the HTML report of cells."""
    twins, claims = twins_of(options.twins), claims_given(options.claims)
    with processor(1):
        from eqssl.report import write_report

        cells = [(metrics, loss) for metrics, loss in options.cells]
        write_report(cells, options.out, twins, options.shards, options.data_page, claims, options.finetuned)


def _data_page(options: argparse.Namespace) -> None:
    """Write the page of a data set: pictures, counts, histograms and notes."""
    from eqssl.config.jobs import DataPageJob

    job = job_of(DataPageJob, options.settings, "--settings")
    with processor(1):
        from eqssl.report.data_page import write_data_page

        write_data_page(job, options.shards, options.out)
