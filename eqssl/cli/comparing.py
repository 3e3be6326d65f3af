"""Commands that compare finished cells: claims, compare."""

from __future__ import annotations

import argparse
from pathlib import Path

from eqssl.cli.adding import LOOKING, Commands, add, add_settings
from eqssl.cli.reading import check_made, settings_of

GRID = Path("metrics/grid.csv")


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    examples = [
        "eqssl claims",
        "eqssl claims bench/results/claims.csv",
        "eqssl claims --configfile experiments/claims.yaml --bundle published",
    ]
    claims = add(commands, "claims", _claims, LOOKING, examples)
    claims.add_argument("grid", nargs="?", type=Path, default=GRID, help=f"table of cells (default: {GRID})")
    bundle = "also write the table, the images that were right, and versions: NAME.csv, .parquet, .json"
    claims.add_argument("--bundle", type=Path, metavar="NAME", help=bundle)
    examples = [
        "eqssl compare C4/eq_labels C4/labels",
        "eqssl compare D4/random trivial/random --grid bench/results/sky.csv",
        "eqssl compare C8/byol C4/byol --grid one/grid.csv --grid other/grid.csv",
    ]
    compare = add(commands, "compare", _compare, LOOKING, examples)
    files = "metrics.json of a cell, metrics/cell.json"
    what = f"[DATASET/]GROUP/PRETEXT[/sSEED] of the grid, {files}, or a DVC experiment"
    compare.add_argument("first", metavar="A", help=what)
    compare.add_argument("second", metavar="B", help="the same")
    tables = f"table of cells; may be given several times (default: {GRID})"
    compare.add_argument("--grid", type=Path, action="append", help=tables)
    for added in (claims, compare):
        add_settings(added)


def _claims(options: argparse.Namespace) -> None:
    """Print each claim of docs/claims.md that a grid can decide, its difference, and the verdict."""
    from eqssl.config.claims import claims_of
    from eqssl.evaluation.claims import verdicts
    from eqssl.evaluation.grid_cells import read_grid
    from eqssl.report.claims_console import print_claims

    check_made(options.grid)
    params = settings_of(options)
    grids = read_grid(options.grid, params)
    if options.bundle is not None:
        from eqssl.evaluation.bundling import bundle

        bundle(options.grid, params, options.bundle)
    for cells in grids:
        print_claims(cells, verdicts(cells, claims_of(params)))


def _compare(options: argparse.Namespace) -> None:
    """Compare two cells, or the seeds of two entries of the grid, number by number."""
    from eqssl.evaluation.comparison import compare
    from eqssl.evaluation.grid_cells import read_grid
    from eqssl.evaluation.subjects import subject
    from eqssl.report.claims_console import print_comparison

    params, tables = settings_of(options), options.grid or ([GRID] if GRID.exists() else [])
    grids = [cells for table in tables for cells in read_grid(table, params)]
    first, second = (subject(text, grids) for text in (options.first, options.second))
    print_comparison(first, second, compare(first, second))
