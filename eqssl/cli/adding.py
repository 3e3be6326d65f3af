"""Adding commands and options to the parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Function = Callable[[argparse.Namespace], int | None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # it has no public name


def add(commands: Commands, name: str, function: Function) -> argparse.ArgumentParser:
    """Add a command that the function's docstring describes."""
    text = (function.__doc__ or "").strip()
    added = commands.add_parser(name, help=text.splitlines()[0].rstrip("."), description=text)
    added.set_defaults(function=function)
    return added


def add_settings(added: argparse.ArgumentParser) -> None:
    """Add the options that name the settings, as `Params.load` takes them."""
    added.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    overlay = "file of settings that replace some of these, as Snakemake's --configfile"
    added.add_argument("--configfile", type=Path, action="append", default=[], help=overlay)


def add_twins(added: argparse.ArgumentParser) -> None:
    """Add the option that `eqssl.cli.reading.twins_of` reads."""
    added.add_argument("--twins", default="{}", help="JSON table: pretext -> its plain twin (default: none)")
