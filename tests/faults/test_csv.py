"""CSV files that no step wrote: `eqssl table` and the report name the file and the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eqssl import cli
from eqssl.report.cells import read_losses

HEADER = "dataset,group,pretext,seed,acc_stored_100\n"
ROW = "d,C4,random,0,0.5\n"
TABLES = {
    "empty": (b"", "the header lacks dataset"),
    "no rows": (HEADER.encode(), "no cells"),
    "not UTF-8": (HEADER.encode() + b"\xff\xfe,C4,random,0,0.5\n", "is not UTF-8"),
    "a field of 200 kB": (
        f"{HEADER}{'x' * 200_000},C4,random,0,0.5\n".encode(),
        "line 2: not CSV: field larger",
    ),
    "a header of 200 kB": (f"{'x' * 200_000}\n{ROW}".encode(), "line 1: not CSV: field larger"),
    "a quote without end": (f'{HEADER}"{ROW * 10_000}'.encode(), "not CSV: field larger"),
    "a column twice": (f"seed,{HEADER}0,{ROW}".encode(), "has the column 'seed' twice"),
    "a text as number": (f"{HEADER}d,C4,random,0,x\n".encode(), "line 2: could not convert"),
    "a number without end": (f"{HEADER}d,C4,random,0,1e999\n".encode(), "line 2: acc_stored_100: given inf"),
    "no number": (f"{HEADER}d,C4,random,0,nan\n".encode(), "line 2: acc_stored_100: given nan"),
    "an accuracy above 1": (f"{HEADER}d,C4,random,0,7.5\n".encode(), "expected an accuracy"),
    "a cell twice": (f"{HEADER}{ROW}{ROW}".encode(), "line 3: the same cell stands above"),
    "a field missing": (f"{HEADER}d,C4,random,0\n".encode(), "line 2: has another number of fields"),
    "a field too many": (f"{HEADER}d,C4,random,0,0.5,7\n".encode(), "line 2"),
}
LOSSES = {
    "a field of 200 kB": (b"epoch,loss\n1," + b"1" * 200_000 + b"\n", "line 2: not CSV"),
    "5,000 digits of epochs": (b"epoch,loss\n" + b"1" * 5000 + b",1\n", "line 2: not numbers"),
    "a column twice": (b"epoch,loss,loss\n1,2,3\n", "has the column 'loss' twice"),
    "a field missing": (b"epoch,loss\n1\n", "line 2: not numbers"),
    "not UTF-8": (b"epoch,loss\n1,\xff\n", "is not UTF-8"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_with_no_table_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, reason = TABLES[name]
    path = tmp_path / "grid.csv"
    path.write_bytes(content)
    assert cli.main(["table", "--table", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"eqssl: error: {path}: ")
    assert reason in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", LOSSES)
def test_a_file_without_losses_is_named(name: str, tmp_path: Path) -> None:
    content, reason = LOSSES[name]
    path = tmp_path / "loss.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: .*{reason}"):
        read_losses(path)


def test_a_pipe_in_the_place_of_losses_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "loss.csv")
    with pytest.raises(OSError, match=r"loss\.csv: is a named pipe"):
        read_losses(tmp_path / "loss.csv")
