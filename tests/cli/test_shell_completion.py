"""What the real shells complete with the scripts that `eqssl completion` prints."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from commands import ROOT, environment, eqssl, reason, without

from eqssl.cli import main

FINISHED = "sky_32/trivial/contrastive/s0"
COMPLETED = {
    "ch": {"check"},
    "check --p": {"--params"},
    "check --params ": {"params.yaml", "other.yaml", "folder"},
    "init ": {"params.yaml", "other.yaml", "folder", "metrics"},
    "embed x --device c": {"cpu", "cuda"},
    "embed x --source h": {"hdf5", "hub"},
    "compare sky_32/t": {FINISHED},
    "trace metrics/grid.csv --cell sky_32/t": {FINISHED},
    "completion ": {"bash", "zsh", "fish"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files to complete, and the script of each shell."""
    made = tmp_path_factory.mktemp("completed")
    for name in ("metrics", "folder", "scripts"):
        (made / name).mkdir()
    lines = (ROOT / "bench/results/sky.csv").read_text().splitlines()
    (made / "metrics/grid.csv").write_text("\n".join([*lines[:2], ""]))
    for name in ("params.yaml", "other.yaml"):
        (made / name).touch()
    return made


@pytest.fixture
def script(folder: Path, capsys: pytest.CaptureFixture[str]):
    def write(shell: str) -> Path:
        assert main(["completion", shell]) == 0
        path = folder / "scripts" / f"eqssl.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return write


def answers(program: list[str], folder: Path) -> set[str]:
    ended = subprocess.run(
        program, capture_output=True, text=True, cwd=folder, env=environment(), check=True, timeout=60
    )
    assert ended.stderr == ""
    return {line.partition("\t")[0].rstrip("/") for line in ended.stdout.splitlines()}


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize("line", COMPLETED)
def test_bash_completes(line: str, folder: Path, script) -> None:
    words = ["eqssl", *line.split(" ")]
    program = f"""
        source {shlex.quote(str(script("bash")))}
        complete -p eqssl > /dev/null || exit 1
        COMP_WORDS=({shlex.join(words)})
        COMP_CWORD={len(words) - 1}
        _shtab_eqssl 2> /dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert COMPLETED[line] <= answers(["bash", "--norc", "-c", program], folder)


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize("line", COMPLETED)
def test_fish_completes(line: str, folder: Path, script) -> None:
    program = f"source {shlex.quote(str(script('fish')))}; complete -C {shlex.quote(f'eqssl {line}')}"
    assert COMPLETED[line] <= answers(["fish", "--no-config", "-c", program], folder)


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize("line", COMPLETED)
def test_zsh_completes(line: str, folder: Path, script) -> None:
    functions = folder / "scripts/zsh"
    functions.mkdir(exist_ok=True)
    shutil.copy(script("zsh"), functions / "_eqssl")
    (functions / ".zshrc").write_text(
        f"fpath=({shlex.quote(str(functions))} $fpath)\n"
        "autoload -U compinit && compinit -u -D\n"
        "unsetopt beep list_beep; setopt list_packed auto_list\nPS1='ready> '\n"
    )
    text = typed(["zsh", "-i"], f"eqssl {line}\t\t", folder, ZDOTDIR=str(functions), TERM="dumb")
    for word in COMPLETED[line]:
        assert word.removeprefix(line.rpartition(" ")[2]) in text


def typed(program: list[str], keys: str, folder: Path, **variables: str) -> str:
    """What a terminal shows after the prompt once keys are typed; ends when it has been quiet."""
    number, terminal = pty.fork()
    if number == 0:
        os.chdir(folder)
        os.execvpe(program[0], program, environment(**variables))  # noqa: S606
    try:
        shown(terminal, "ready> ")
        os.write(terminal, keys.encode())
        return shown(terminal)
    finally:
        os.close(terminal)
        os.waitpid(number, 0)


def shown(terminal: int, awaited: str = "", patience: float = 30.0, quiet: float = 3.0) -> str:
    text, deadline = "", time.monotonic() + patience
    while time.monotonic() < deadline and not (awaited and awaited in text):
        ready, _, _ = select.select([terminal], [], [], patience if awaited else quiet)
        if not ready:
            break
        text += os.read(terminal, 4096).decode(errors="replace")
    return text


def test_every_command_and_option_is_completed(script) -> None:
    from eqssl.cli import parser

    for shell in ("bash", "zsh", "fish"):
        text = script(shell).read_text()
        for name, command in parser().commands.items():
            assert name in text
            options = [option for action in command.actions for option in action.option_strings]
            spelt = [option.lstrip("-") if shell == "fish" else option for option in options]
            assert all(option in text for option in spelt)


def test_without_shtab_one_line_says_how_to_install_it(tmp_path: Path) -> None:
    ended = eqssl("completion", "bash", folder=tmp_path, **without(tmp_path / "hidden", "shtab"))
    assert reason(ended) == "shtab is not installed: pip install 'eqssl[workflow]'"
