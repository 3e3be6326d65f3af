"""Adding commands and options to the parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from eqssl.cli.parsers import Parser

Function = Callable[[argparse.Namespace], int | None]
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # it has no public name

FIRST = "first commands"
LOOKING = "results"
ENCODERS = "encoders and their features"
KEEPING = "versions and tools"
STEPS = "steps that the workflow starts"
SECTIONS = (FIRST, LOOKING, ENCODERS, KEEPING, STEPS)
"""Headings of the list of commands in `eqssl --help`."""


def add(commands: Commands, name: str, function: Function, section: str, examples: Sequence[str]) -> Parser:
    """Add a command that the function's docstring describes.

    Args:
        commands: where to add it.
        name: of the command.
        function: what it does; its result is the exit code, None for 0.
        section: one of `SECTIONS`.
        examples: one to three whole command lines that end the command's help.
    """
    text = (function.__doc__ or "").strip()
    summary = text.splitlines()[0].rstrip(".")
    added = commands.add_parser(name, help=summary, description=text)
    added.set_defaults(function=function)
    added.section, added.examples, added.summary = section, examples, summary
    return added


def whole_number(text: str) -> int:
    """The value of an option that is a whole number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"given {text[:40]!r}, allowed: a whole number") from None


def number(text: str) -> float:
    """The value of an option that is a number.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"given {text[:40]!r}, allowed: a number") from None


def add_settings(added: Parser) -> None:
    """Add the options that name the settings, as `Params.load` takes them."""
    added.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings file")
    overlay = "file of settings that replace some of these, as Snakemake's --configfile"
    added.add_argument("--configfile", type=Path, action="append", default=[], help=overlay)


def add_twins(added: Parser) -> None:
    """Add the option that `eqssl.cli.reading.twins_of` reads."""
    added.add_argument("--twins", default="{}", help="JSON table: pretext -> its plain twin (default: none)")
