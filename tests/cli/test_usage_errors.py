"""A wrong command line ends with one line on stderr and code 2."""

from __future__ import annotations

import pytest

from eqssl import cli

WRONG = {
    "chek": "'chek': there is no such command; did you mean 'check'? (see `eqssl --help`)",
    "quantify": "'quantify': there is no such command (see `eqssl --help`)",
    "": "the following arguments are required: COMMAND (see `eqssl --help`)",
    "check --parms x": "--parms: `eqssl check` has no such option; did you mean '--params'? "
    "(see `eqssl check --help`)",
    "check --zzz=1": "--zzz: `eqssl check` has no such option (see `eqssl check --help`)",
    "check here": "'here': `eqssl check` takes no such argument (see `eqssl check --help`)",
    "run --cores two": "--cores: given 'two', allowed: a whole number (see `eqssl run --help`)",
    "run --cores": "--cores: expected one argument (see `eqssl run --help`)",
    "pretrain --checkpoint-seconds soon": "--checkpoint-seconds: given 'soon', allowed: a number "
    "(see `eqssl pretrain --help`)",
    "embed sky": "the following arguments are required: --encoder, --out (see `eqssl embed --help`)",
    "completion powershell": "SHELL: given 'powershell', allowed: bash, zsh, fish "
    "(see `eqssl completion --help`)",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_is_one_line_and_code_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words.split())
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", f"eqssl: error: {WRONG[words]}\n")


def test_options_of_run_that_eqssl_does_not_know_are_for_snakemake(
    tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--keep-going", "cell"]) == 1
    assert capsys.readouterr().err.startswith("eqssl: error: Snakefile: ")
