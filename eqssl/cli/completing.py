"""The command that prints what a shell needs to complete command lines: completion."""

from __future__ import annotations

import argparse
from typing import Any

from eqssl.cli.adding import KEEPING, Commands, add

SHELLS = ("bash", "zsh", "fish")
_YAML = ("params", "configfile")
_PATHS = ("path", "images", "encoder", "shards")  # also addresses and names, so that they are texts
_CELLS = ("first", "second", "cell")
_DEVICES = ("auto", "cpu", "cuda")
# the finished cells as `compare` and `trace` take them, without starting Python at each press of the key
_FINISHED = "sed -nE 's#^([^,]+),([^,]+),([^,]+),([0-9]+),.*#\\1/\\2/\\3/s\\4#p' metrics/grid.csv 2>/dev/null"


def add_commands(commands: Commands) -> None:
    """Add the command to the parser."""
    examples = [
        "eqssl completion bash > ~/.local/share/bash-completion/completions/eqssl",
        "eqssl completion zsh > ~/.zfunc/_eqssl",
        "eqssl completion fish > ~/.config/fish/completions/eqssl.fish",
    ]
    added = add(commands, "completion", _completion, KEEPING, examples)
    told = "bash, zsh or fish"
    added.add_argument("shell", type=_shell, choices=SHELLS, metavar="SHELL", help=told)


def _shell(text: str) -> str:
    if text not in SHELLS:
        raise argparse.ArgumentTypeError(f"given {text[:40]!r}, allowed: {', '.join(SHELLS)}")
    return text


def _completion(options: argparse.Namespace) -> None:
    """Print the completion of commands, options and files for a shell."""
    import shtab

    for command in options.parser.commands.values():
        for action in command.actions:
            _describe(action)
    print(shtab.complete(options.parser, options.shell))


def _describe(action: argparse.Action) -> None:
    """Say what the value of an option or argument is completed to, where argparse does not know."""
    from pathlib import Path

    import shtab

    from eqssl.config.sources import SourceSettings

    completed: Any = None
    if action.dest in _YAML:
        completed = shtab.glob("*.yaml", "*.yml")
    elif action.dest in _CELLS:
        completed = shtab.cmd(_FINISHED)
    elif action.dest in _PATHS or action.type is Path:
        completed = shtab.FILE
    elif action.dest == "device":
        action.choices = _DEVICES
    elif action.dest == "source":
        action.choices = tuple(SourceSettings.kinds())
    if completed is not None:
        action.complete = completed  # type: ignore[attr-defined]
