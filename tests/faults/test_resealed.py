"""Records that say something impossible under a right seal: each reader names the file and the key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sealed import resealed
from small_results import STEPS, Results

DEEP: Any = json.loads("[" * 300 + "]" * 300)
NO_NUMBERS = (None, "5", True, [1], {"a": 1}, -3, 10**400, "\ud800", DEEP)
NO_NAMES = (None, 5, "", "a\nb", "\ud800", ["C4"], "x" * 101)
NO_SHAPE = ("x", None, 10**400, [[1]])
ENCODER = ("features", "export")
OPENED = ("features", "finetune", "probe")

EDITS: list[tuple[str, str, tuple[str, ...], tuple[Any, ...]]] = [
    ("encoder.json", "dataset", OPENED, (*NO_NAMES, "other")),
    ("encoder.json", "group", OPENED, (*NO_NAMES, "C2")),
    ("encoder.json", "group", ("export",), (*NO_SHAPE, "C3")),
    ("encoder.json", "pretext", OPENED, (*NO_NAMES, "other")),
    ("encoder.json", "seed", OPENED, (*NO_NUMBERS, 1, 2**63)),
    ("encoder.json", "parameters", ("probe",), NO_NUMBERS),
    ("encoder.json", "flops", ("probe",), NO_NUMBERS),
    ("encoder.json", "job", OPENED, (None, 10**400, {"seed": 10**400}, DEEP)),
    ("encoder.json", "name", ENCODER, (*NO_SHAPE, "\ud800")),
    ("encoder.json", "equivariant_stages", ENCODER, (*NO_SHAPE, -1)),
    ("encoder.json", "samples", ENCODER, (*NO_SHAPE, -1)),
    ("encoder.json", "image_shape", ENCODER, NO_SHAPE),
    ("encoder.json", "form", ENCODER, NO_SHAPE),
    ("pretrain.json", "epochs", ("probe",), NO_NUMBERS),
    ("pretrain.json", "seconds", ("probe",), NO_NUMBERS),
    ("pretrain.json", "measured", ("probe",), (None, "x", [1], {"seed": 1}, {"pretext_accuracy": 7}, DEEP)),
    ("equivariance.json", "job", ("probe",), (None, 10**400, {"features": {}}, DEEP)),
    ("equivariance.json", "error", ("probe",), NO_NUMBERS),
    ("metrics.json", "dataset", ("publish", "summary", "report"), (*NO_NAMES, "other")),
    ("metrics.json", "group", ("publish", "summary", "report"), (*NO_NAMES, "C2")),
    ("metrics.json", "seed", ("publish", "summary", "report"), (*NO_NUMBERS, 1, 2**63)),
    ("metrics.json", "epochs", ("publish", "report"), [value for value in NO_NUMBERS if value is not None]),
    ("metrics.json", "acc_stored_100", ("summary",), (*NO_NUMBERS, 1.5)),
    ("metrics.json", "flops", ("summary",), NO_NUMBERS),
    ("finetune.json", "dataset", ("publish", "summary"), (*NO_NAMES, "other")),
    ("finetune.json", "group", ("publish", "summary"), (*NO_NAMES, "C2")),
    ("finetune.json", "pretext", ("publish", "summary"), (*NO_NAMES, "other")),
    ("finetune.json", "seed", ("publish", "summary"), (*NO_NUMBERS, 7, 2**63)),
    ("finetune.json", "fine_acc_stored_50", ("publish", "summary"), (*NO_NUMBERS, 1.5)),
    ("finetune.json", "acc_stored_100", ("publish", "summary"), (0.5, None)),
    ("metrics.json", "details", ("publish", "summary", "report"), (None, 3, "x", [])),
]


@pytest.fixture
def results(built: Results, tmp_path: Path) -> Results:
    shutil.copytree(built.root, tmp_path / "project")
    return Results(tmp_path / "project", built.params)


def put(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.update({key: value})


NO_SIZES = (
    "null",
    "5",
    "[]",
    '"x"',
    "[-1]",
    "[0]",
    "[1e99]",
    "1e999",
    "[1000000000]",
    "{}",
    "[null]",
    "[true]",
)
NO_TEXT = ("null", "5", "[]", '"\\ud800"', "")
METADATA = {
    "orders": (*NO_SIZES, "[1, 1, 1]", "[" * 3000, f"[{'1' * 400}]"),
    "fields": (*NO_SIZES, "[" * 3000, f"[{'1' * 400}]"),
    "classes": ("null", "5", '"x"', "[1]", "{}", "[" * 3000, '["\\ud800"]'),
    "encoder": NO_TEXT,
    "data": NO_TEXT,
    "group": NO_TEXT,
    "code": NO_TEXT,
}


@pytest.mark.parametrize("name", ["train", "turned"])
@pytest.mark.parametrize("key", METADATA)
def test_impossible_metadata_of_features_are_named(results: Results, key: str, name: str) -> None:
    path = results.path(f"{name}.parquet")
    table = pq.read_table(path)
    for text in METADATA[key]:
        values = {**table.schema.metadata, f"eqssl.{key}".encode(): text.encode()}
        pq.write_table(table.replace_schema_metadata(values), path)
        resealed(results.path("equivariance.json"))
        with pytest.raises(ValueError, match=rf"^\S*{name}\.parquet: metadata eqssl\.{key}: [^\n]*$"):
            results.probe(results.root / "again")


def test_a_column_that_is_there_twice_is_named(results: Results) -> None:
    path = results.path("train.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column("label", table["label"]), path)
    resealed(results.path("equivariance.json"))
    with pytest.raises(ValueError, match=r"train\.parquet: column label: there twice$"):
        results.probe(results.root / "again")


def reseal_after(results: Results, name: str) -> None:
    """Seal the records after this one too, so that the chain holds."""
    files = results.files()
    if name == "encoder.json":
        for later in ("pretrain.json", "equivariance.json"):
            resealed(files[later], encoder=files[name])
    if name not in ("metrics.json", "finetune.json"):
        sources = {source: files[f"{source}.json"] for source in ("encoder", "pretrain", "equivariance")}
        resealed(files["metrics.json"], **sources)


@pytest.mark.parametrize(
    ("name", "key", "step"), [(name, key, step) for name, key, steps, _ in EDITS for step in steps]
)
def test_an_impossible_value_under_a_right_seal_is_named(
    results: Results, name: str, key: str, step: str
) -> None:
    values = next(edit[3] for edit in EDITS if edit[:2] == (name, key) and step in edit[2])
    path, whole = results.path(name), results.path(name).read_bytes()
    for value in values:
        resealed(path, put(key, value))
        reseal_after(results, name)
        with pytest.raises((ValueError, OSError)) as caught:
            STEPS[step][0](results, results.root / "again")
        message = str(caught.value)
        assert f"{path}: " in message, repr(value)[:80]
        assert key in message, repr(value)[:80]
        assert "\n" not in message
        assert len(message) < 1000
        assert not (results.root / "again").exists()
        path.write_bytes(whole)
