"""The command line. Each rule of the workflow is one of these commands; a person can run them too.

Nothing heavy is imported before a command needs it, and not before it holds its processor slots, so that
more jobs than cores do not even load a library at the same time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from eqssl.cli import comparing, embedding, foreign, people, projects, steps
from eqssl.machine.run import end_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `eqssl`; None for those of the process.

    Returns:
        the exit code: 0; or 1 after an error that was reported on stderr as `eqssl: error: ...`, and, without
        a word, where the reader of the output left before its end, as `head` does.
    """
    options, rest = parser().parse_known_args(arguments)
    if rest and options.command != "run":
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    signal.signal(signal.SIGTERM, _terminated)
    end_with_parent(signal.SIGKILL if options.command == "run" else signal.SIGTERM)
    try:
        code: int | None = options.function(options)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
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
    projects.add_commands(commands)
    people.add_commands(commands)
    comparing.add_commands(commands)
    embedding.add_commands(commands)
    foreign.add_commands(commands)
    steps.add_commands(commands)
    return main_parser


def _reader_left() -> int:
    """Drop what is left of the output, of which Python would complain at exit; the code is that of rich."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """End in order on SIGTERM, so that files in the making are removed."""
    raise SystemExit(128 + number)
