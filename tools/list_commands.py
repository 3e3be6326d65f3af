"""Write the lists of commands in docs/commands.md from the parser of the command line.

python tools/list_commands.py           # writes the page anew
python tools/list_commands.py --print   # prints what would be written
"""

from __future__ import annotations

import argparse
from pathlib import Path

from eqssl.cli import parser

PAGE = Path(__file__).resolve().parents[1] / "docs/commands.md"
START, END = "<!-- from here on by tools/list_commands.py -->", "<!-- to here -->"
LONGEST = 90
"""Letters of an example that fits into a column."""


def lists() -> str:
    """A heading and a table for each section of `eqssl --help`."""
    whole = parser()
    blocks = []
    for section in whole.sections:
        rows = [
            f"| `{name}` | {escaped(command.summary)} | {example(command.examples[0])} |"
            for name, command in whole.commands.items()
            if command.section == section
        ]
        heading = f"### {section[0].upper()}{section[1:]}"
        head = ["| command | what it does | example |", "| --- | --- | --- |"]
        blocks.append("\n".join([heading, "", *head, *rows]))
    return "\n\n".join(blocks)


def example(line: str) -> str:
    """A command line as code, without what follows its first words where it is long."""
    if len(line) > LONGEST:
        line = f"{line[:LONGEST].rpartition(' ')[0]} ..."
    return f"`{escaped(line)}`"


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|")


def page() -> str:
    """The page with the lists of the present parser."""
    before, start, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{PAGE}: a line that marks the lists is missing: {START} ... {END}")
    return f"{before}{START}\n\n{lists()}\n\n{END}{after}"


def main() -> None:
    """Write the page, or print it."""
    options = argparse.ArgumentParser(description="Write the lists of commands in docs/commands.md.")
    options.add_argument("--print", action="store_true", help="print the page and write nothing")
    text = page()
    if options.parse_args().print:
        print(text, end="")
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
