from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from eqssl.machine import store


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def pointer(files: int | None) -> str:
    counted = "" if files is None else f"- md5: 0123.dir\n  nfiles: {files}\n  path: results\n"
    return "outs:\n" + (counted or "- path: results\n")


@pytest.mark.parametrize(
    ("before", "now", "refused"), [(9, 8, True), (9, 9, False), (9, 12, False), (None, 3, False)]
)
def test_guard_refuses_a_store_that_lost_files(
    tmp_path: Path, before: int | None, now: int, refused: bool
) -> None:
    git(tmp_path, "init", "-q")
    file = tmp_path / "results.dvc"
    file.write_text(pointer(before))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    file.write_text(pointer(now))
    if refused:
        with pytest.raises(ValueError, match=r"results\.dvc: holds 8 files, but 9 at the last commit"):
            store.guard([file])
    else:
        store.guard([file])


def test_guard_lets_a_store_grow_that_was_never_committed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "results.dvc").write_text(pointer(5))
    store.guard([tmp_path / "results.dvc"])


def test_own_turns_links_into_files_and_keeps_their_bytes(tmp_path: Path) -> None:
    cache, records = tmp_path / "cache", tmp_path / "records"
    cache.mkdir()
    records.mkdir()
    for name in ("hard", "soft", "plain"):
        (cache / name).write_text(name)
        (cache / name).chmod(0o444)
    os.link(cache / "hard", records / "hard")
    (records / "soft").symlink_to(cache / "soft")
    (records / "plain").write_text("plain")
    store.own(str(records), str(tmp_path / "nowhere"))
    for name in ("hard", "soft", "plain"):
        file = records / name
        assert file.read_text() == name
        assert not file.is_symlink()
        assert file.stat().st_nlink == 1
        file.write_text("rewritten in place")
        assert (cache / name).read_text() == name


def test_publish_copies_a_cell_without_its_details(tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    cell.mkdir()
    kept = {"dataset": "d", "group": "C4", "pretext": "random", "seed": 0, "acc": 0.5}
    (cell / "metrics.json").write_text(json.dumps({**kept, "details": {"long": [1, 2]}}))
    for name in ("predictions.csv", "loss.csv", "encoder.safetensors", "encoder.json"):
        (cell / name).write_bytes(name.encode())
        (cell / name).chmod(0o444)
    into, model = tmp_path / "metrics", tmp_path / "model"
    store.publish(cell / "metrics.json", cell / "predictions.csv", cell / "loss.csv", cell, into, model)
    assert json.loads((into / "cell.json").read_text()) == kept
    for file in (
        into / "predictions.csv",
        into / "loss.csv",
        model / "encoder.safetensors",
        model / "encoder.json",
    ):
        assert file.read_bytes() == file.name.encode()
        assert file.stat().st_mode & 0o200


def test_publish_refuses_what_is_not_metrics(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"dataset": "d", "group": "C4"}')
    with pytest.raises(ValueError, match=r"metrics\.json: pretext, seed: missing"):
        store.publish(tmp_path / "metrics.json", *[tmp_path / "x"] * 5)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
