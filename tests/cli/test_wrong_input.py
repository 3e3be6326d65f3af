"""Every command with wrong files: one line that names the file and the reason, and code 1."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, environment

from eqssl.cli import main, parser
from eqssl.cli.ending import ended, reason_of
from eqssl.config import jobs
from eqssl.config.params import Params

PARAMS = Params.load(ROOT / "params.yaml")
JOBS = {
    "SHARD": jobs.shard_job(PARAMS, PARAMS.dataset).json_text(),
    "TRAIN": jobs.pretrain_job(PARAMS, PARAMS.cell).json_text(),
    "FEATURES": jobs.features_job(PARAMS).json_text(),
    "TRANSFER": '{"dataset": "a"}',
    "TUNE": jobs.finetune_job(PARAMS).json_text(),
    "PROBE": jobs.probe_job(PARAMS).json_text(),
    "PAGE": jobs.data_page_job(PARAMS, PARAMS.dataset).json_text(),
    "GOOD": str(ROOT / "params.yaml"),
    "GRID": str(ROOT / "bench/results/sky.csv"),
}
NOT_THERE, A_FOLDER = "there is no such file or folder", "is a folder, allowed: a"
HERE = "start from the folder of a project (`eqssl new` makes one), or name it with --params"
WRONG = [
    ("adopt tried", "is not a git repository"),
    ("check", HERE),
    ("check --params folder", f"folder: {A_FOLDER} regular file"),
    ("check --params empty", "empty: is empty, allowed: a table of settings"),
    ("check --params junk", "junk: given 'garbage', allowed: a table of settings"),
    ("check --params GOOD --configfile nowhere", f"nowhere: {NOT_THERE}"),
    ("check --params GOOD --configfile empty", "empty: is empty, allowed: a table of settings"),
    ("claims", "metrics/grid.csv: there is no such file; `eqssl run` makes it"),
    ("claims GRID", HERE),
    ("claims folder --params GOOD", f"folder: {A_FOLDER} regular file"),
    ("claims junk --params GOOD", "junk: the header lacks dataset, group, pretext, seed"),
    ("compare a b", HERE),
    ("compare empty b --params GOOD", "empty: not JSON: it is empty"),
    ("compare folder b --params GOOD", "folder/metrics.json: there is no such file"),
    ("data-page --settings PAGE --shards nowhere --out o", f"nowhere: {NOT_THERE}"),
    ("data-page --settings {} --shards folder --out o", "--settings.dataset: is missing"),
    ("embed sky --encoder nowhere --out o.parquet", "nowhere: there is no such file or folder"),
    ("embed sky --encoder folder --out o.parquet", f"folder/encoder.json: {NOT_THERE}"),
    ("embed sky --encoder empty --out o.parquet", "empty: given another file, allowed: a folder"),
    ("export --encoder folder --out o", f"folder/encoder.json: {NOT_THERE}"),
    ("features --job FEATURES --shards folder --encoder junk --out o", "junk/encoder.json: a part of this"),
    ("finetune --job TUNE --shards folder --encoder nowhere --out o", f"nowhere/encoder.json: {NOT_THERE}"),
    ("guard nowhere.dvc", f"nowhere.dvc: {NOT_THERE}"),
    ("guard folder", f"folder: {A_FOLDER} regular file"),
    ("guard junk", "junk: given 'garbage', allowed: a table"),
    ("init folder", HERE),
    ("init nowhere --params params.yaml", HERE),
    ("new folder/..", "folder/..: holds files, allowed: a new or an empty folder"),
    ("new junk", "junk: is a file or a link, allowed: a new or an empty folder"),
    ("pretrain --job TRAIN --shards nowhere --out o", f"nowhere: {NOT_THERE}"),
    ("pretrain --job TRAIN --shards folder --out o", f"folder/index.json: {NOT_THERE}"),
    ("pretrain --job TRAIN --shards junk --out o", "junk: not JSON: expected value at line 1"),
    ("pretrain --job junk --shards folder --out o", "--job: not JSON: "),
    ("probe --job PROBE --evaluation nowhere --encoder folder --out o", f"folder/encoder.json: {NOT_THERE}"),
    ("probe-features --features junk --out o", HERE),
    ("probe-features --features folder --out o --params GOOD", "folder: not a whole Parquet file"),
    ("probe-features --features empty --out o --params GOOD", "empty: not a whole Parquet file"),
    ("publish --metrics junk --encoder folder --into a b", f"folder/encoder.json: {NOT_THERE}"),
    ("release nowhere --out o", "nowhere: there is no such file or folder"),
    ("report --out o --cell nowhere nowhere", f"nowhere: {NOT_THERE}"),
    ("report --out o --cell folder junk", f"folder: {A_FOLDER} regular file"),
    ("run", "Snakefile: there is none in "),
    ("schema --out folder", f"folder: {A_FOLDER} file"),
    ("schema --out junk/o", "junk: "),
    ("shard --job SHARD --out junk", "junk: "),
    ("shard --job  --out o", "--job: not JSON: it is empty"),
    ("summary --table o --summary o nowhere", f"nowhere: {NOT_THERE}"),
    ("table", "metrics/grid.csv: there is no such file; `eqssl run` makes it"),
    ("table --table folder", f"folder: {A_FOLDER} regular file"),
    ("table --table empty", "empty: the header lacks dataset, group, pretext, seed"),
    ("trace nowhere", "nowhere: there is no such file"),
    ("trace folder", f"folder: {A_FOLDER} regular file"),
    ("trace empty", "empty: not JSON: it is empty"),
    ("transfer --job TRANSFER --shards folder --encoder folder --out o", "--job.features: is missing"),
    ("transfer-table --table o folder", f"folder: {A_FOLDER} regular file"),
    ("verify", HERE),
    ("verify --params GOOD", "there is nothing to verify"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of files that are not what they should be, in which the command runs."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "junk").write_text("garbage\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))
    # locks of its own: a command that waits for other tests' says so on stderr
    (tmp_path / "locks").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "locks"))
    return tmp_path


@pytest.mark.parametrize(("line", "told"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_input_is_named_in_one_line(
    line: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [JOBS.get(word, word) for word in line.split(" ")]
    assert main(words) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("eqssl: error: ")
    assert told in error
    assert "Errno" not in error
    assert not (folder / "o").exists()
    assert (folder / "junk").read_text() == "garbage\n"


def test_every_command_but_those_without_files_is_given_wrong_input() -> None:
    tried = {line.split()[0] for line, _ in WRONG}
    assert tried == set(parser().commands) - {"completion"}


def no_privileges() -> None:
    """Take from root the right to pass over permissions, so that it is as any user."""
    drop_from_bounding_set, override, read_search = 24, 1, 2
    control = ctypes.CDLL(None).prctl
    for capability in (override, read_search):
        control(drop_from_bounding_set, capability, 0, 0, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are Linux's")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "--params", "closed"], "closed: Permission denied"),
        (["table", "--table", "closed"], "closed: Permission denied"),
        (["schema", "--out", "locked/o"], "locked/o: Permission denied"),
    ],
)
def test_a_file_that_may_not_be_read_or_written_is_named(words: list[str], told: str, folder: Path) -> None:
    (folder / "closed").write_text("a: 1\n")
    (folder / "closed").chmod(0)
    (folder / "locked").mkdir(mode=0o500)
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "eqssl", *words],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        preexec_fn=no_privileges,
    )
    assert (ended.returncode, ended.stderr) == (1, f"eqssl: error: {told}\n")


def test_errors_of_the_system_name_the_file_that_was_to_be_written() -> None:
    moved = OSError(errno.EISDIR, os.strerror(errno.EISDIR), "made.tmp", None, "target")
    assert reason_of(moved) == "target: is a folder, allowed: a file"
    assert reason_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) == "No space left on device"
    library = OSError(errno.ENOENT, "Failed to open local file 'none.parquet'")
    assert reason_of(library) == "Failed to open local file 'none.parquet'"
    assert reason_of(OSError("x.tar: is cut off")) == "x.tar: is cut off"
    absent = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "git")
    assert reason_of(absent) == "the program git is not installed"
    assert reason_of(MemoryError()) == "not enough memory"


def test_a_fault_of_eqssl_itself_is_not_taken_for_wrong_input() -> None:
    def broken() -> None:
        raise ModuleNotFoundError("No module named 'eqssl.nowhere'", name="eqssl.nowhere")

    with pytest.raises(ModuleNotFoundError):
        ended(broken)
