"""The help of every command describes it, and its examples are command lines that work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from eqssl import cli
from eqssl.cli.adding import FIRST, SECTIONS, STEPS
from eqssl.cli.reading import job_of
from eqssl.config import jobs

ROOT = Path(__file__).parents[2]
COMMANDS = cli.parser().commands
EXAMPLES = [example for command in (cli.parser(), *COMMANDS.values()) for example in command.examples]
OF_THE_REPOSITORY = ("bench/", "experiments/", "workflow/")
RUNNABLE = [
    example
    for example in EXAMPLES
    if any(name in example for name in OF_THE_REPOSITORY)
    and not any(word in example for word in ("verify", "--out", "--bundle"))
]


def words_of(example: str) -> list[str]:
    """The words after `eqssl`, without a file that the shell writes to."""
    program, *words = shlex.split(example.partition(" > ")[0])
    assert program == "eqssl"
    return words


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_a_command_and_ends_with_examples_of_it(name: str, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = COMMANDS[name]
    text = command.format_help()
    assert command.summary
    assert " ".join(text.split()).count(" ".join((command.description or "").split())) == 1
    assert all(action.help for action in command.actions)
    assert 1 <= len(command.examples) <= 3
    assert text.endswith("".join(["\nexamples:\n", *(f"  {example}\n" for example in command.examples)]))
    assert all(words_of(example)[0] == name for example in command.examples)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_command_line_that_the_parser_takes(example: str) -> None:
    whole, words = cli.parser(), words_of(example)
    whole.check_command(words)
    options, rest = whole.parse_known_args(words)
    assert not rest or options.command == "run"
    for word in words:
        if word.startswith(OF_THE_REPOSITORY):
            assert (ROOT / word).exists()


def test_jobs_in_examples_are_jobs() -> None:
    kinds = {"shard": jobs.ShardJob, "features": jobs.FeaturesJob}
    seen = set()
    for example in EXAMPLES:
        name, *words = words_of(example)
        if "--job" in words and (text := words[words.index("--job") + 1]).startswith("{"):
            assert job_of(kinds[name], text)
            seen.add(name)
    assert seen == set(kinds)


@pytest.mark.parametrize("example", RUNNABLE)
def test_an_example_about_files_of_the_repository_runs(example: str, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    assert cli.main(words_of(example)) == 0
    assert capsys.readouterr().out


def test_the_list_of_commands_begins_with_the_few_that_a_newcomer_needs(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = cli.parser().format_help()
    blocks = {block.splitlines()[0].rstrip(":"): block for block in text.split("\n\n")}
    order = [title for title in blocks if title in SECTIONS]
    assert order == list(SECTIONS)
    listed = {title: re.findall(r"^    ([a-z]\S*)", blocks[title], re.MULTILINE) for title in order}
    assert {"init", "check", "run", "embed"} <= set(listed[FIRST])
    assert len(listed[FIRST]) <= 5
    assert sorted(name for names in listed.values() for name in names) == sorted(COMMANDS)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "commands:" not in text.replace("first commands:", "")


def test_steps_are_the_commands_that_the_workflow_starts() -> None:
    files = [ROOT / "dvc.yaml", ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    started = {name for file in files for name in re.findall(r"python -m eqssl ([a-z-]+)", file.read_text())}
    assert {name for name, command in COMMANDS.items() if command.section == STEPS} == started
