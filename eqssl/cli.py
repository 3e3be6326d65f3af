"""The command line. Each rule of the workflow is one of these commands; a person can run them too.

Nothing heavy is imported before a command needs it, and not before it holds its processor slots, so that
more jobs than cores do not even load a library at the same time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar

from eqssl.machine.run import end_with_parent

if TYPE_CHECKING:
    from eqssl.config.settings import Settings
    from eqssl.data.loading.location import Budget

JobType = TypeVar("JobType", bound="Settings")
Function = Callable[[argparse.Namespace], int | None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # it has no public name
MOST_CORES, MOST_SECONDS = 100_000, 1e9
MOST_PROCESSES = 64
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `eqssl`; None for those of the process.

    Returns:
        the exit code: 0, or 1 after an error that was reported on stderr as `eqssl: error: ...`.
    """
    options, rest = parser().parse_known_args(arguments)
    if rest and options.command != "run":
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    signal.signal(signal.SIGTERM, _terminated)
    end_with_parent(signal.SIGKILL if options.command == "run" else signal.SIGTERM)
    try:
        code: int | None = options.function(options)
    except (ValueError, OSError) as error:
        sys.stdout.flush()
        print(f"eqssl: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("eqssl: interrupted", file=sys.stderr)
        return 130
    return code or 0


def parser() -> argparse.ArgumentParser:
    """The parser of every command and option."""
    description = "Self-supervised learning with exact symmetry."
    main_parser = argparse.ArgumentParser(prog="eqssl", description=description)
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_user_commands(commands)
    _add_job_commands(commands)
    return main_parser


def _add(commands: Commands, name: str, function: Function) -> argparse.ArgumentParser:
    """Add a command that the function's docstring describes."""
    text = (function.__doc__ or "").strip()
    added = commands.add_parser(name, help=text.splitlines()[0].rstrip("."), description=text)
    added.set_defaults(function=function)
    return added


def _add_user_commands(commands: Commands) -> None:
    run = _add(commands, "run", _run)
    run.add_argument("--cores", type=int, help="processor cores to use (default: all)")
    init = _add(commands, "init", _init)
    init.add_argument("path", metavar="PATH", help="file or folder of the images")
    init.add_argument("--name", help="of the data set (default: from PATH)")
    init.add_argument("--source", help="kind of source (default: found)")
    init.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    setting = "a setting of the entry that is not to be chosen, such as size=64; may be given several times"
    init.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given", help=setting)
    init.add_argument("--dry-run", action="store_true", help="write nothing")
    check = _add(commands, "check", _check)
    check.add_argument("--quick", action="store_true", help="the settings alone, not the images")
    check.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    verify = _add(commands, "verify", _verify)
    verify.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    overlay = "file of settings that replace some of these, as Snakemake's --configfile"
    verify.add_argument("--configfile", type=Path, action="append", default=[], help=overlay)
    table = _add(commands, "table", _table)
    table.add_argument("--table", type=Path, default=Path("metrics/grid.csv"), help="CSV file")
    _add_twins(table)
    schema = _add(commands, "schema", _schema)
    schema.add_argument("--out", type=Path, help="file to write (default: print)")
    _add(commands, "guard", _guard).add_argument("pointers", type=Path, nargs="+", metavar="FILE.dvc")
    _add(commands, "adopt", _adopt).add_argument("experiments", nargs="+", metavar="EXPERIMENT")
    export = _add(commands, "export", _export)
    export.add_argument("--encoder", required=True, type=Path, help="folder of the trained encoder")
    export.add_argument("--out", required=True, type=Path, help="folder of the released encoder")
    export.add_argument("--no-fold", action="store_true", help="keep batch norms apart from convolutions")
    export.add_argument("--onnx", action="store_true", help="write encoder.onnx too")


def _add_job_commands(commands: Commands) -> None:
    shard = _add(commands, "shard", _shard)
    pretrain = _add(commands, "pretrain", _pretrain)
    features = _add(commands, "features", _features)
    probe = _add(commands, "probe", _probe)
    for added in (shard, pretrain, features, probe):
        added.add_argument("--job", required=True, help="the job's settings as JSON (see eqssl.config.jobs)")
        added.add_argument("--out", required=True, type=Path, help="folder of the outputs")
    shard.add_argument("--raw", default="", help="version of the source's files, for index.json")
    shard.add_argument("--threads", type=int, default=1, help="processes that prepare images (default: 1)")
    for added in (pretrain, features):
        where = "folder of the tars and index.json, or its address (https://..., s3://...)"
        added.add_argument("--shards", required=True, help=where)
        _add_budget(added)
        added.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    pretrain.add_argument("--checkpoint-seconds", type=float, default=20.0, help="time between checkpoints")
    for added in (features, probe):
        added.add_argument("--encoder", required=True, type=Path, help="folder of the encoder")
        added.add_argument("--cell", help="digest of the job that must have made the encoder (default: any)")
    probe.add_argument("--evaluation", required=True, type=Path, help="folder of the features")
    probe.add_argument("--features", help="digest of the job that must have made the features (default: any)")
    _add_gathering_commands(commands)


def _add_budget(added: argparse.ArgumentParser) -> None:
    added.add_argument("--decoded-mb", type=int, help="MiB of a split to keep decoded; else it is streamed")
    added.add_argument("--cache-mb", type=int, help="MiB of fetched tars to keep")


def _add_twins(added: argparse.ArgumentParser) -> None:
    added.add_argument("--twins", default="{}", help="JSON table: pretext -> its plain twin (default: none)")


def _add_gathering_commands(commands: Commands) -> None:
    publish = _add(commands, "publish", _publish)
    publish.add_argument("--metrics", required=True, type=Path, help="the cell's metrics.json")
    publish.add_argument("--encoder", required=True, type=Path, help="the cell's folder of the encoder")
    publish.add_argument("--into", required=True, nargs=2, type=Path, metavar=("METRICS", "MODEL"))
    summary = _add(commands, "summary", _summary)
    summary.add_argument("--table", required=True, type=Path, help="CSV file to write")
    summary.add_argument("--summary", required=True, type=Path, help="JSON file to write")
    summary.add_argument("metrics", nargs="+", type=Path, metavar="METRICS", help="metrics.json of each cell")
    report = _add(commands, "report", _report)
    report.add_argument("--out", required=True, type=Path, help="HTML file to write")
    pair = report.add_argument("--cell", dest="cells", required=True, action="append", nargs=2, type=Path)
    pair.metavar = ("METRICS", "LOSS")
    images = (
        "folder of a data set's shards, from which nearest neighbours are shown (may be given several times)"
    )
    report.add_argument("--shards", action="append", default=[], type=Path, help=images)
    page = "data set whose page data/NAME.html lies beside the report (may be given several times)"
    report.add_argument("--data-page", action="append", default=[], metavar="NAME", help=page)
    _add_twins(report)
    data = _add(commands, "data-page", _data_page)
    data.add_argument("--shards", required=True, type=Path, help="folder of the tars and index.json")
    settings = "a DataPageJob as JSON (see eqssl.config.jobs)"
    data.add_argument("--settings", required=True, help=settings)
    data.add_argument("--out", required=True, type=Path, help="HTML file to write")


def _run(options: argparse.Namespace) -> int:
    """Run the whole pipeline of this folder, or the given targets; further options go to Snakemake."""
    from eqssl.machine.run import run

    if options.cores is not None and not 1 <= options.cores <= MOST_CORES:
        raise ValueError(f"--cores: given {options.cores}, allowed: 1 to {MOST_CORES}")
    code = run(options.rest, options.cores)
    if code == 0 and options.rest[-1:] in ([], ["all"]):
        from eqssl.config.params import Params

        _print_table(Path("metrics/grid.csv"), Params.load().twins())
        print(f"report: {Path('report/index.html').resolve()}")
    return code


def _init(options: argparse.Namespace) -> None:
    """Look at images, choose settings that fit them, and add them to params.yaml with a small grid."""
    from eqssl.config.yaml_files import parse_assignments
    from eqssl.data.looking.starting import begin

    given = parse_assignments(options.given, "--set")
    begin(options.path, options.params, _say, options.name, options.source, given, options.dry_run)


def _say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _check(options: argparse.Namespace) -> None:
    """Check the settings, print the grid with each cell's folder, and say what its data sets hold."""
    from eqssl.config.jobs import cell_folder
    from eqssl.config.params import Params

    params = Params.load(options.params)
    for cell in params.cells():
        name = f"{cell.dataset} {cell.group} {cell.pretext} seed {cell.seed}"
        print(f"{name}: {cell_folder(params, cell)}")
    print(f"active: {cell_folder(params, params.cell)}", flush=True)
    if not options.quick:
        from eqssl.data.looking.checking import told_of_data

        for line in told_of_data(params):
            print(line, flush=True)


def _verify(options: argparse.Namespace) -> int:
    """Check every file of the grid against the records, from the metrics down to the shards."""
    from eqssl.config.params import Params
    from eqssl.machine.verify import faults, remembered_hashes

    with remembered_hashes() as hash_of:
        found = faults(Params.load(options.params, *options.configfile), hash_of=hash_of)
    for fault in found:
        print(fault.reason)
    print(f"{len(found)} files are missing or damaged" if found else "every file is what its record says")
    return 1 if found else 0


def _table(options: argparse.Namespace) -> None:
    """Print the table of the grid."""
    _print_table(options.table, _twins(options.twins))


def _print_table(table: Path, twins: dict[str, str]) -> None:
    from eqssl.report.console import print_table

    if not table.is_file():
        raise ValueError(f"{table}: no such file; `eqssl run` makes it")
    print_table(table, twins=twins)


def _schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of params.yaml, or write it to a file."""
    import json

    from eqssl.config.params import Params

    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
    # Docstrings become descriptions; without them the schema changes only when a setting does.
    for model in [schema, *schema["$defs"].values()]:
        model.pop("description", None)
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        from eqssl.machine.files import write_text

        write_text(options.out, text)


def _guard(options: argparse.Namespace) -> None:
    """Refuse a store of results that lost files since the last commit."""
    from eqssl.machine.store import guard

    guard(options.pointers)


def _adopt(options: argparse.Namespace) -> None:
    """Copy the cells that experiments made into the store of this folder."""
    from eqssl.machine.store import adopt

    for experiment in options.experiments:
        print(f"{experiment}: {adopt(experiment)} files adopted")


def _export(options: argparse.Namespace) -> None:
    """Write the released form of an encoder: a plain torch network that needs no escnn."""
    with _processor(1):
        from eqssl.encoders.release.exporting import export

        difference = export(options.encoder, options.out, not options.no_fold, options.onnx)
        print(f"{options.out}: outputs differ from the trained encoder's by {difference:.1e} at most")


def _shard(options: argparse.Namespace) -> None:
    """Write a data set as WebDataset tars with an index."""
    from eqssl.config.jobs import ShardJob

    if not 1 <= options.threads <= MOST_PROCESSES:
        raise ValueError(f"--threads: given {options.threads}, allowed: 1 to {MOST_PROCESSES}")
    job = _job(ShardJob, options.job)
    with _processor(1, options.threads) as cores:
        from eqssl.data.shards.writing import write_shards

        write_shards(job, options.out, cores, options.raw)


def _pretrain(options: argparse.Namespace) -> None:
    """Train the encoder of one cell; a killed run resumes from its last checkpoint."""
    from eqssl.config.jobs import PretrainJob

    if not 0 < options.checkpoint_seconds <= MOST_SECONDS:
        allowed = f"more than 0 and at most {MOST_SECONDS:g}"
        raise ValueError(f"--checkpoint-seconds: given {options.checkpoint_seconds}, allowed: {allowed}")
    job = _job(PretrainJob, options.job)
    with _device(options.device), _processor(job.pretrain.threads):
        from eqssl.evaluation.pretext_accuracy import measure_pretext
        from eqssl.training import pretrain

        pretrain(
            job,
            options.shards,
            options.out,
            options.device,
            options.checkpoint_seconds,
            measure_pretext,
            _budget(options),
        )


def _features(options: argparse.Namespace) -> None:
    """Extract the features of a frozen encoder to Parquet and measure its equivariance."""
    from eqssl.config.jobs import FeaturesJob

    job = _job(FeaturesJob, options.job)
    with _device(options.device), _processor(1):
        from eqssl.evaluation.features import extract

        extract(
            job,
            options.shards,
            options.encoder,
            options.out,
            options.device,
            options.cell,
            _budget(options),
        )


def _probe(options: argparse.Namespace) -> None:
    """Fit probes on stored features and write the metrics of the cell."""
    from eqssl.config.jobs import ProbeJob

    job = _job(ProbeJob, options.job)
    with _processor(1):
        from eqssl.evaluation.probing import evaluate

        evaluate(job, options.evaluation, options.encoder, options.out, options.cell, options.features)


def _publish(options: argparse.Namespace) -> None:
    """Copy one cell's metrics and encoder to the paths that DVC compares."""
    from eqssl.machine.store import publish

    publish(options.metrics, options.encoder, *options.into)


def _summary(options: argparse.Namespace) -> None:
    """Gather the metrics of all cells in one table."""
    with _processor(1):
        from eqssl.evaluation.summary import summarise

        summarise(options.metrics, options.table, options.summary)


def _report(options: argparse.Namespace) -> None:
    """Write the HTML report of cells."""
    twins = _twins(options.twins)
    with _processor(1):
        from eqssl.report import write_report

        cells = [(metrics, loss) for metrics, loss in options.cells]
        write_report(cells, options.out, twins, options.shards, options.data_page)


def _data_page(options: argparse.Namespace) -> None:
    """Write the page of a data set: pictures, counts, histograms and notes."""
    from eqssl.config.jobs import DataPageJob

    job = _job(DataPageJob, options.settings, "--settings")
    with _processor(1):
        from eqssl.report.data_page import write_data_page

        write_data_page(job, options.shards, options.out)


def _job(kind: type[JobType], text: str, option: str = "--job") -> JobType:
    """Read a job from JSON.

    Raises:
        ValueError: not JSON, or settings that the job does not take.
    """
    from eqssl.config.plain import parse_json

    return kind.read(parse_json(text, option), option)


def _twins(text: str) -> dict[str, str]:
    """Read the twins of pretexts from JSON.

    Raises:
        ValueError: not JSON, or no table of names.
    """
    from eqssl.config.plain import parse_json, shown

    values = parse_json(text, "--twins")
    if not isinstance(values, dict) or not all(isinstance(twin, str) for twin in values.values()):
        allowed = "a JSON table of names, pretext -> its plain twin"
        raise ValueError(f"--twins: given {shown(values)}, allowed: {allowed}")
    return values


def _budget(options: argparse.Namespace) -> Budget:
    """How much loading may keep.

    Raises:
        ValueError: a size is out of range.
    """
    from eqssl.data.loading.location import Budget

    return Budget.given(decoded_mb=options.decoded_mb, cache_mb=options.cache_mb)


def _device(name: str) -> AbstractContextManager[str | None]:
    """Hold a GPU, where one is asked for and there is one, so that no other process takes it."""
    from eqssl.machine.slots import device_slot

    return device_slot(name)


@contextmanager
def _processor(threads: int, processes: int = 1) -> Iterator[int]:
    """Hold processor slots, keep freed memory, and libraries to so many threads. Import them inside.

    Yields:
        the number of cores held, which is smaller than what was asked for where there are fewer.
    """
    from eqssl.machine.memory import keep_freed_memory
    from eqssl.machine.slots import cpu_slots

    keep_freed_memory()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    with cpu_slots(threads * processes) as cores:
        yield len(cores)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """End in order on SIGTERM, so that files in the making are removed."""
    raise SystemExit(128 + number)
