"""The command line. Each rule of the workflow is one of these commands; a person can run them too.

Nothing heavy is imported before a command needs it, and not before it holds its processor slots, so that
more jobs than cores do not even load a library at the same time.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from eqssl.cli import comparing, completing, embedding, foreign, people, projects, steps
from eqssl.cli.adding import SECTIONS
from eqssl.cli.ending import ended
from eqssl.cli.parsers import MainParser
from eqssl.machine.run import end_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `eqssl`; None for those of the process.

    Returns:
        the exit code, as docs/commands.md lists them: 0; 1 after an error that was reported on stderr as
        `eqssl: error: ...`, for a fault that `verify` or `trace` found, and, without a word, where the reader
        of the output left before its end, as `head` does; 130 after Ctrl-C.

    Raises:
        SystemExit: with code 2, the words are no command line of eqssl; with 143, the process was terminated.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    whole = parser()
    whole.check_command(words)
    options, rest = whole.parse_known_args(words)
    if rest and options.command != "run":  # which passes them on to Snakemake
        whole.commands[options.command].refuse(rest)
    options.rest, options.parser = rest, whole
    signal.signal(signal.SIGTERM, _terminated)
    end_with_parent(signal.SIGKILL if options.command == "run" else signal.SIGTERM)
    return ended(lambda: options.function(options))


def parser() -> MainParser:
    """The parser of every command and option."""
    from eqssl import __version__

    description = "Self-supervised learning with exact symmetry."
    whole = MainParser(SECTIONS, prog="eqssl", description=description)
    whole.add_argument("--version", action="version", version=f"eqssl {__version__}")
    whole.examples = [
        "eqssl init data/raw/photos",
        "eqssl run",
        "eqssl embed data/raw/photos --encoder model --out photos.parquet",
    ]
    commands = whole.add_commands()
    for module in (projects, people, comparing, embedding, foreign, completing, steps):
        module.add_commands(commands)
    return whole


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """End in order on SIGTERM, so that files in the making are removed."""
    raise SystemExit(128 + number)
