from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from sealed import resealed

from eqssl.machine import store
from eqssl.machine.records import write_record

IDENTITY = {"dataset": "d", "group": "C4", "pretext": "random", "seed": 0, "acc": 0.5}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def pointer(files: int | None) -> str:
    counted = "" if files is None else f"- md5: 0123.dir\n  nfiles: {files}\n  path: results\n"
    return "outs:\n" + (counted or "- path: results\n")


def written_cell(folder: Path, seed: int = 0) -> Path:
    """The files of a cell, each record with those that it was made of."""
    folder.mkdir()
    for name in ("predictions.csv", "loss.csv", "encoder.safetensors"):
        (folder / name).write_text(f"{name} of seed {seed}")
    encoder = write_record(folder / "encoder.json", {"seed": seed}, ["encoder.safetensors"])
    pretrain = write_record(folder / "pretrain.json", {"seconds": 1.5}, ["loss.csv"], {"encoder": encoder})
    values = {**IDENTITY, "seed": seed, "details": {"long": [1, 2]}}
    made_of = {"encoder": encoder, "pretrain": pretrain}
    write_record(folder / "metrics.json", values, ["predictions.csv"], made_of)
    return folder


def refused(cell: Path, folder: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        store.publish(cell / "metrics.json", cell, folder / "metrics", folder / "model")
    assert "\n" not in str(caught.value)
    assert not (folder / "metrics").exists()
    assert not (folder / "model").exists()


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
    cell = written_cell(tmp_path / "cell")
    for file in cell.iterdir():
        file.chmod(0o444)
    into, model = tmp_path / "metrics", tmp_path / "model"
    store.publish(cell / "metrics.json", cell, into, model)
    assert json.loads((into / "cell.json").read_text()) == IDENTITY
    for file in (
        into / "predictions.csv",
        into / "loss.csv",
        model / "encoder.safetensors",
        model / "encoder.json",
    ):
        assert file.read_bytes() == (cell / file.name).read_bytes()
        assert file.stat().st_mode & 0o200


@pytest.mark.parametrize("name", ["predictions.csv", "loss.csv", "encoder.safetensors"])
def test_publish_copies_nothing_if_a_file_is_not_the_one_that_its_record_names(
    tmp_path: Path, name: str
) -> None:
    cell = written_cell(tmp_path / "cell")
    (cell / name).write_text("something else")
    refused(cell, tmp_path, rf"{name}: SHA-256 is \w+, but \w+\.json states \w+: damaged or mixed up")
    (cell / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        store.publish(cell / "metrics.json", cell, tmp_path / "metrics", tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("metrics", r"metrics\.json: was not made of this encoder: given .*encoder\.json with seal"),
        ("pretrain", r"pretrain\.json: was not made of this encoder: given .*encoder\.json with seal"),
        ("encoder", r"pretrain\.json: was not made of this encoder: given .*encoder\.json with seal"),
    ],
)
def test_publish_copies_nothing_if_records_are_not_of_one_cell(
    tmp_path: Path, name: str, reason: str
) -> None:
    cell = written_cell(tmp_path / "cell")
    other = written_cell(tmp_path / "other", seed=1)
    (other / f"{name}.json").replace(cell / f"{name}.json")
    refused(cell, tmp_path, reason)


def test_publish_copies_nothing_if_the_metrics_are_of_another_training(tmp_path: Path) -> None:
    cell = written_cell(tmp_path / "cell")
    resealed(cell / "pretrain.json", lambda values: values.update(seconds=3.0))
    refused(cell, tmp_path, r"metrics\.json: was not made of this pretrain: given .*pretrain\.json with seal")


def test_publish_refuses_what_is_not_metrics(tmp_path: Path) -> None:
    cell = written_cell(tmp_path / "cell")
    resealed(cell / "metrics.json", lambda values: (values.pop("pretext"), values.pop("seed")))
    refused(cell, tmp_path, r"metrics\.json: pretext, seed: missing")


def test_publish_adds_the_accuracies_of_fine_tuning_of_the_same_encoder(tmp_path: Path) -> None:
    cell, other = written_cell(tmp_path / "cell"), written_cell(tmp_path / "other", seed=1)
    identity = {key: IDENTITY[key] for key in ("dataset", "group", "pretext", "seed")}
    for folder in (cell, other):
        encoder = json.loads((folder / "encoder.json").read_text())["seal"]
        values = {**identity, "fine_acc_stored_10": 0.25, "job": {}, "details": {"runs": {}}}
        write_record(folder / "finetune.json", values, made_of={"encoder": encoder})
    into, model = tmp_path / "metrics", tmp_path / "model"
    with pytest.raises(ValueError, match=r"finetune\.json: was not made of the encoder"):
        store.publish(cell / "metrics.json", cell, into, model, other / "finetune.json")
    assert not into.exists()
    store.publish(cell / "metrics.json", cell, into, model, cell / "finetune.json")
    assert json.loads((into / "cell.json").read_text()) == {**IDENTITY, "fine_acc_stored_10": 0.25}
