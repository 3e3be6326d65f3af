"""The command that starts a project: new."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from eqssl.cli.adding import FIRST, Commands, add


def add_commands(commands: Commands) -> None:
    """Add the command to the parser."""
    new = add(commands, "new", _new, FIRST, ["eqssl new galaxies"])
    new.add_argument("folder", type=Path, metavar="FOLDER", help="a new or an empty folder")


def _new(options: argparse.Namespace) -> None:
    """Make the folder of a project: settings, and a Snakefile that includes the rules of this package."""
    from eqssl.machine.projects.creating import create

    for name in create(options.folder):
        print(options.folder / name)
    print(f"\nNext: cd {quote(str(options.folder))}; eqssl init PATH-OF-IMAGES; eqssl run")
