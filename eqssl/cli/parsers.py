"""Parsers whose help ends with examples, and whose errors are one line like all others."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from eqssl.config.plain import did_you_mean

USAGE = 2
"""Exit code where the command line itself is wrong."""
_COMMAND_COLUMN = 20


class Parser(argparse.ArgumentParser):
    """A parser of one command.

    Attributes:
        examples: whole command lines, which end the help.
        summary: one line that says what the command does.
        section: heading of the list of commands under which it stands.
        actions: what `add_argument` has added, in order.
    """

    def __init__(self, *positional: Any, **settings: Any) -> None:
        self.actions: list[argparse.Action] = []  # before the parser adds --help
        super().__init__(*positional, **settings)
        self.examples: Sequence[str] = ()
        self.summary = ""
        self.section = ""

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an option or a positional argument, as argparse does, and remember it."""
        action = super().add_argument(*names, **settings)
        self.actions.append(action)
        return action

    def format_help(self) -> str:
        """The help: usage, description, options, examples."""
        return super().format_help() + _section("examples", self.examples)

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong with the command line, and end with the code for that."""
        reason = message.removeprefix("argument ")
        self.exit(USAGE, f"eqssl: error: {reason} (see `{self.prog} --help`)\n")

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Refuse words that are no options or arguments of this command."""
        word = next((word for word in words if word.startswith("-")), words[0])
        if not word.startswith("-"):
            self.error(f"{word!r}: `{self.prog}` takes no such argument")
        name = word.partition("=")[0]
        known = [option for action in self.actions for option in action.option_strings]
        self.error(f"{name}: `{self.prog}` has no such option{did_you_mean(name, known)}")


class MainParser(Parser):
    """The parser of the whole command line: its help lists the commands by sections.

    Attributes:
        sections: headings, in order.
        commands: the command parsers by their names.
    """

    def __init__(self, sections: Sequence[str], **settings: Any) -> None:
        super().__init__(**settings)
        self.sections = tuple(sections)
        self.commands: dict[str, Parser] = {}

    def add_commands(self) -> argparse._SubParsersAction[Parser]:
        """Where commands are added."""
        title = "commands"  # argparse's own list has this heading, and is replaced
        added = self.add_subparsers(
            dest="command", required=True, metavar="COMMAND", title=title, parser_class=Parser
        )
        self.commands = added.choices
        return added

    def format_help(self) -> str:
        """The help: usage, description, the commands of each section, options, examples."""
        whole = super().format_help()
        own = [block for block in whole.split("\n\n") if not block.startswith("commands:")]
        usage, description, *rest = own
        return "\n\n".join([usage, description, *self._listed(), *rest])

    def check_command(self, words: Sequence[str]) -> None:
        """Refuse a first word that is no command, with the nearest one; argparse would list all."""
        first = next(iter(words), "-")
        if not first.startswith("-") and first not in self.commands:
            self.error(f"{first!r}: there is no such command{did_you_mean(first, self.commands)}")

    def _listed(self) -> list[str]:
        width = shutil.get_terminal_size().columns - 2
        blocks = []
        for section in self.sections:
            lines = [f"{section}:"]
            for name, command in self.commands.items():
                if command.section == section:
                    start = f"    {name}".ljust(_COMMAND_COLUMN)
                    lines += textwrap.wrap(
                        command.summary,
                        max(width, 2 * _COMMAND_COLUMN),
                        initial_indent=start,
                        subsequent_indent=" " * _COMMAND_COLUMN,
                    )
            if lines[1:]:
                blocks.append("\n".join(lines))
        return blocks


def _section(title: str, lines: Sequence[str]) -> str:
    return "".join([f"\n{title}:\n", *(f"  {line}\n" for line in lines)]) if lines else ""
