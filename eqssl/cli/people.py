"""Commands that people give: init, check, run, table, trace, verify, adopt, guard, schema, export."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from eqssl.cli.adding import (
    ENCODERS,
    FIRST,
    KEEPING,
    LOOKING,
    STEPS,
    Commands,
    add,
    add_settings,
    add_twins,
    whole_number,
)
from eqssl.cli.ending import FAILED
from eqssl.cli.holding import processor
from eqssl.cli.reading import check_made, check_project, settings_of, twins_of
from eqssl.machine.packages import need

MOST_CORES = 100_000
_ELSEWHERE = ("--software-deployment", "--deployment", "--sdm", "--use-")
"""How options of Snakemake start that run jobs in another environment than this one."""


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    _add_first_commands(commands)
    _add_commands_of_results(commands)
    _add_keeping_commands(commands)
    examples = [
        "eqssl export --encoder model --out released",
        "eqssl export --encoder model --out released --onnx",
    ]
    export = add(commands, "export", _export, ENCODERS, examples)
    export.add_argument("--encoder", required=True, type=Path, help="folder of the trained encoder")
    export.add_argument("--out", required=True, type=Path, help="folder of the released encoder")
    export.add_argument("--no-fold", action="store_true", help="keep batch norms apart from convolutions")
    export.add_argument("--onnx", action="store_true", help="write encoder.onnx too")


def _add_first_commands(commands: Commands) -> None:
    examples = [
        "eqssl init data/raw/photos",
        "eqssl init data/raw/scans.h5 --name scans --set size=64 --dry-run",
    ]
    init = add(commands, "init", _init, FIRST, examples)
    init.add_argument("path", metavar="PATH", help="file or folder of the images")
    init.add_argument("--name", help="of the data set (default: from PATH)")
    init.add_argument("--source", help="kind of source (default: found)")
    init.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    setting = "a setting of the entry that is not to be chosen, such as size=64; may be given several times"
    init.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given", help=setting)
    init.add_argument("--dry-run", action="store_true", help="write nothing")
    examples = ["eqssl check", "eqssl check --quick --configfile experiments/upright.yaml"]
    check = add(commands, "check", _check, FIRST, examples)
    check.add_argument("--quick", action="store_true", help="the settings alone, not the images")
    add_settings(check)
    examples = ["eqssl run", "eqssl run --cores 4 cell", "eqssl run -n"]
    run = add(commands, "run", _run, FIRST, examples)
    run.add_argument("--cores", type=whole_number, help="processor cores to use (default: all)")


def _add_commands_of_results(commands: Commands) -> None:
    examples = ["eqssl table", "eqssl table --table bench/results/sky.csv"]
    table = add(commands, "table", _table, LOOKING, examples)
    table.add_argument("--table", type=Path, default=Path("metrics/grid.csv"), help="CSV file")
    add_twins(table)
    examples = [
        "eqssl trace metrics/cell.json",
        "eqssl trace metrics/cell.json reg_acc_angle_10",
        "eqssl trace metrics/grid.csv --cell fashion_mnist_rot_sample/C4/eq_labels/s0",
    ]
    trace = add(commands, "trace", _trace, LOOKING, examples)
    file = "metrics.json of a cell, metrics/cell.json or metrics/grid.csv"
    trace.add_argument("metrics", type=Path, metavar="METRICS", help=file)
    number = "name of the number, as in grid.csv (default: acc_stored_100, if there is one)"
    trace.add_argument("number", nargs="?", metavar="NUMBER", help=number)
    trace.add_argument("--cell", metavar="DATASET/GROUP/PRETEXT/sSEED", help="the row of grid.csv")
    trace.add_argument("--json", action="store_true", help="print JSON, for programs")
    examples = ["eqssl verify", "eqssl verify --configfile experiments/upright.yaml"]
    add_settings(add(commands, "verify", _verify, LOOKING, examples))


def _add_keeping_commands(commands: Commands) -> None:
    examples = ["eqssl adopt wide-encoder", "eqssl adopt wide-encoder more-epochs"]
    adopt = add(commands, "adopt", _adopt, KEEPING, examples)
    adopt.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="name of a DVC experiment")
    guard = add(commands, "guard", _guard, STEPS, ["eqssl guard results.dvc data/shards.dvc"])
    guard.add_argument("pointers", type=Path, nargs="+", metavar="FILE.dvc", help="pointer to a store")
    examples = ["eqssl schema", "eqssl schema --out workflow/schemas/params.schema.json"]
    schema = add(commands, "schema", _schema, KEEPING, examples)
    schema.add_argument("--out", type=Path, help="file to write (default: print)")


def _run(options: argparse.Namespace) -> int:
    """Run the whole pipeline of this folder, or the given targets; further options go to Snakemake."""
    from eqssl.machine.run import run

    if options.cores is not None and not 1 <= options.cores <= MOST_CORES:
        raise ValueError(f"--cores: given {options.cores}, allowed: 1 to {MOST_CORES}")
    need("snakemake", "psutil")
    dry = not {"-n", "--dry-run", "--dryrun"}.isdisjoint(options.rest)  # the table would be of an earlier run
    elsewhere = any(word.startswith(_ELSEWHERE) for word in options.rest)
    if not dry and not elsewhere:
        need("escnn")  # or the first job that trains would say so, after others have worked
    code = run(options.rest, options.cores)
    if code == 0 and not dry and options.rest[-1:] in ([], ["all"]):
        from eqssl.config.params import Params

        _print_table(Path("metrics/grid.csv"), Params.load().twins())
        print(f"report: {Path('report/index.html').resolve()}")
    return code


def _init(options: argparse.Namespace) -> None:
    """Look at images, choose settings that fit them, and add them to params.yaml with a small grid."""
    from eqssl.config.yaml_files import parse_assignments
    from eqssl.data.looking.starting import begin

    given = parse_assignments(options.given, "--set")
    check_project(options.params)
    begin(options.path, options.params, _say, options.name, options.source, given, options.dry_run)


def _say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _check(options: argparse.Namespace) -> None:
    """Check the settings, print the grid with each cell's folder, and say what its data sets hold."""
    from eqssl.config.grid import long_name
    from eqssl.config.jobs import cell_folder
    from eqssl.config.params import file_names

    params = settings_of(options)
    if not options.quick:
        from eqssl.pretexts.sizes import check_view_sides

        try:
            check_view_sides(params)
        except ValueError as error:
            raise ValueError(f"{file_names(options.params, *options.configfile)}: {error}") from None
    for cell in params.cells():
        print(f"{long_name(cell.plain())}: {cell_folder(params, cell)}")
    print(f"active: {cell_folder(params, params.cell)}", flush=True)
    if not options.quick:
        from eqssl.data.looking.checking import told_of_data

        for line in told_of_data(params):
            print(line, flush=True)


def _verify(options: argparse.Namespace) -> int:
    """Check every file of the grid against the records, from the metrics down to the shards."""
    from eqssl.config.jobs import cell_folder, shard_folder
    from eqssl.machine.verify import faults, remembered_hashes

    params = settings_of(options)
    cells = [params.cell, *params.cells()]
    folders = {cell_folder(params, cell) for cell in cells}
    folders |= {shard_folder(params, name) for name in {cell.dataset for cell in cells}}
    if not any(map(os.path.exists, [*folders, "metrics/cell.json", "metrics/grid.csv"])):
        raise ValueError(f"{Path.cwd()}: nothing of the grid is here yet, so there is nothing to verify")
    with remembered_hashes() as hash_of:
        found = faults(params, hash_of=hash_of)
    for fault in found:
        print(fault.reason)
    print(f"{len(found)} files are missing or damaged" if found else "every file is what its record says")
    return FAILED if found else 0


def _trace(options: argparse.Namespace) -> int:
    """Print the chain from one number down to shards and source, and whether each link holds."""
    import json

    from eqssl.machine.tracing.walking import trace
    from eqssl.machine.verify import remembered_hashes
    from eqssl.report.trace import trace_lines, trace_values

    with remembered_hashes() as hash_of:
        found = trace(options.metrics, options.number, options.cell, hash_of)
    if options.json:
        print(json.dumps(trace_values(found), indent=2))
    else:
        print("\n".join(trace_lines(found)))
    return FAILED if found.faults else 0


def _table(options: argparse.Namespace) -> None:
    """Print the table of the grid."""
    _print_table(options.table, twins_of(options.twins))


def _print_table(table: Path, twins: dict[str, str]) -> None:
    from eqssl.report.console import print_table

    check_made(table)
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
    with processor(1):
        from eqssl.encoders.release.exporting import export

        difference = export(options.encoder, options.out, not options.no_fold, options.onnx)
        print(f"{options.out}: outputs differ from the trained encoder's by {difference:.1e} at most")
