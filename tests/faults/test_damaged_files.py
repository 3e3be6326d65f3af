"""Every file that a step reads, damaged in every way: the step says which file it is, in one line."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from damages import Damage, damages, deleted, empty, flip_at, flipped, folder, half
from small_results import SHARDS, STEPS, Results

from eqssl.config import jobs
from eqssl.machine import verify
from eqssl.machine.files import sha256, write_text
from eqssl.machine.sealed_text import sealed_text
from eqssl.report.data_page import write_data_page

NAMES = (
    *SHARDS,
    "encoder.safetensors",
    "encoder.json",
    "loss.csv",
    "log.jsonl",
    "pretrain.json",
    "train.parquet",
    "val.parquet",
    "test.parquet",
    "turned.parquet",
    "equivariance.json",
    "metrics.json",
    "predictions.csv",
    "correct.parquet",
    "finetune.json",
    "fine/correct.parquet",
)
PUBLISHED = (
    "model/encoder.safetensors",
    "model/encoder.json",
    "metrics/predictions.csv",
    "metrics/loss.csv",
    "metrics/cell.json",
)
READ = [(step, name) for step, (_, names) in STEPS.items() for name in names]


@pytest.fixture
def results(built: Results, tmp_path: Path) -> Results:
    """A copy that a test may damage, with a scratch folder of its own in which nothing is decoded yet."""
    shutil.copytree(built.root, tmp_path / "project")
    return Results(tmp_path / "project", built.params)


def do(results: Results, step: str) -> Path:
    out = results.root / "again"
    STEPS[step][0](results, out)
    return out


def refused(results: Results, step: str, name: str) -> None:
    with pytest.raises((ValueError, OSError)) as caught:
        do(results, step)
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert not (results.root / "again").exists()


def faulty(results: Results) -> dict[Path, str]:
    """What `eqssl verify` finds: path -> reason."""
    return {fault.path: fault.reason for fault in verify.faults(results.params, results.root)}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_accepts_undamaged_files(results: Results, step: str) -> None:
    do(results, step)
    assert faulty(results) == {}


@pytest.mark.parametrize(
    ("step", "name", "damage"),
    [
        pytest.param(step, name, damage, id=f"{step}-{name}-{damage.__name__}")
        for step, name in READ
        for damage in damages(name)
    ],
)
def test_a_step_names_the_file_that_is_damaged(
    results: Results, step: str, name: str, damage: Damage
) -> None:
    damage(results, name, results.path(name))
    refused(results, step, name)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        pytest.param(name, damage, id=f"{name}-{damage.__name__}")
        for name in NAMES
        for damage in damages(name)
        # a step that was not done yet is no fault
        if name != "metrics.json" or damage not in (deleted, folder)
    ],
)
def test_verify_names_the_file_that_is_damaged(results: Results, name: str, damage: Damage) -> None:
    path = results.path(name)
    damage(results, name, path)
    found = faulty(results)
    assert path in found
    for fault, reason in found.items():
        assert str(fault) in reason
        assert "\n" not in reason


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("damage", [flipped, half, empty])
def test_verify_names_a_published_copy_that_is_damaged(results: Results, name: str, damage: Damage) -> None:
    path = results.root / name
    damage(results, path.name, path)
    assert set(faulty(results)) == {path}


@pytest.mark.parametrize("damage", [flipped, half, empty])
def test_verify_names_a_damaged_page_of_a_data_set(results: Results, damage: Damage) -> None:
    page = results.root / "report/data/pictures.html"
    write_data_page(jobs.data_page_job(results.params, "pictures"), results.shards, page)
    assert faulty(results) == {}
    damage(results, page.name, page)
    assert set(faulty(results)) == {page}


def test_verify_names_a_page_of_other_shards(results: Results) -> None:
    page = results.root / "report/data/pictures.html"
    write_text(page, sealed_text("a page\n", ["0" * 64]))
    assert faulty(results) == {page: f"{page}: was made of other records than those that are there"}


def test_a_published_copy_of_another_size_is_not_read(results: Results) -> None:
    copy = results.root / "model/encoder.safetensors"
    os.truncate(copy, 10**12)

    def hash_of(path: Path) -> str:
        assert path != copy
        return sha256(path)

    assert [fault.path for fault in verify.faults(results.params, results.root, hash_of)] == [copy]


@pytest.mark.parametrize(("step", "name"), [(step, name) for step, name in READ if name.endswith(".json")])
def test_a_record_of_a_terabyte_is_not_read(results: Results, step: str, name: str) -> None:
    os.truncate(results.path(name), 10**12)
    refused(results, step, name)


def test_metrics_that_were_not_made_yet_are_no_fault(results: Results) -> None:
    results.path("metrics.json").unlink()
    assert faulty(results) == {}


@pytest.mark.parametrize("step", ["load", "export", "features", "finetune", "probe", "publish"])
@pytest.mark.parametrize("key", ["seal", "files", "made_of"])
def test_a_damaged_key_of_a_record_is_no_record_of_an_earlier_version(
    results: Results, step: str, key: str
) -> None:
    path = results.path("encoder.json")
    path.write_text(path.read_text().replace(f'"{key}":', f'"{key.upper()}":'))
    refused(results, step, "encoder.json")


@pytest.mark.parametrize(("step", "name"), [(step, name) for step, name in READ if name.endswith(".json")])
def test_a_number_that_json_cannot_hold_is_refused(results: Results, step: str, name: str) -> None:
    path = results.path(name)
    content = json.loads(path.read_text())
    key = "mean" if name == "index.json" else "seal"
    path.write_text(json.dumps({**content, key: [12321]}).replace("12321", "1e999"))
    refused(results, step, name)
    path.write_text(json.dumps({**content, "more": 12321}).replace("12321", "1e999"))
    refused(results, step, name)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "name"), READ, ids=[f"{step}-{name}" for step, name in READ])
def test_a_step_refuses_a_file_with_any_flipped_bit(results: Results, step: str, name: str) -> None:
    path = results.path(name)
    whole, numbers = path.read_bytes(), random.Random(f"{step} {name}")  # noqa: S311
    for _ in range(60):
        flip_at(path, numbers.random(), numbers.randrange(8))
        if not same_values(path, whole):
            refused(results, step, name)
        path.write_bytes(whole)


def same_values(path: Path, whole: bytes) -> bool:
    """Whether JSON has the values that it had, such as 1E-07 in place of 1e-07."""
    try:
        return path.suffix == ".json" and bool(json.loads(path.read_bytes()) == json.loads(whole))
    except ValueError:
        return False
