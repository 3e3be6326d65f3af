from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from sealed import resealed

from eqssl.config.settings import digest
from eqssl.machine.files import sha256
from eqssl.machine.records import read_record, seal_of, write_record

JOB = {"seed": 3, "name": "mine"}
VALUES: dict[str, Any] = {
    "job": JOB,
    "count": 12,
    "share": 0.1 + 0.2,
    "small": 1.2345678901234567e-07,
    "nothing": None,
    "flag": True,
    "words": "Möbius \N{GREEK SMALL LETTER LAMDA}",
    "list": [1, 2.5, "three", [4]],
    "table": {"inner": {"deep": 0}},
}


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """The record of a step with two files, made of another record."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "folder/two.bin").write_bytes(bytes(range(256)))
    source = write_record(tmp_path / "source.json", {"job": {"seed": 0}})
    write_record(tmp_path / "step.json", VALUES, ["one.csv", "folder/two.bin"], {"source": source})
    return tmp_path / "step.json"


def refused(path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_back(step: Path) -> None:
    record = read_record(step, ("count", "words"))
    assert record.values == VALUES
    assert record.path == step
    assert record.files == {
        "one.csv": sha256(step.with_name("one.csv")),
        "folder/two.bin": sha256(step.with_name("folder") / "two.bin"),
    }
    assert record.made_of == {"source": read_record(step.with_name("source.json")).seal}
    assert record.job == JOB
    assert record.file("one.csv") == step.with_name("one.csv")
    assert record.file("folder/two.bin").read_bytes() == bytes(range(256))


def test_the_seal_is_returned_and_written_into_the_file(tmp_path: Path) -> None:
    seal = write_record(tmp_path / "a.json", VALUES)
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["seal"] == seal == read_record(tmp_path / "a.json").seal == seal_of(content)
    assert len(seal) == 64


def test_a_record_without_files_and_sources_has_empty_tables(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", {})
    record = read_record(tmp_path / "a.json")
    assert (record.values, record.files, record.made_of, record.job) == ({}, {}, {}, None)


def test_equal_values_give_equal_bytes_in_any_order_and_after_reading(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    (tmp_path / "g").write_text("g")
    write_record(tmp_path / "a.json", VALUES, ["f", "g"], {"x": "1", "y": "2"})
    write_record(tmp_path / "b.json", dict(reversed(VALUES.items())), ["g", "f"], {"y": "2", "x": "1"})
    read = json.loads((tmp_path / "a.json").read_text())
    write_record(tmp_path / "c.json", read, ["f", "g"], read["made_of"])
    first = (tmp_path / "a.json").read_bytes()
    assert (tmp_path / "b.json").read_bytes() == first
    assert (tmp_path / "c.json").read_bytes() == first


def test_the_own_entries_of_an_earlier_record_are_replaced(tmp_path: Path) -> None:
    own = {"files": {"x": "0"}, "made_of": {"y": "0"}, "seal": "0"}
    assert write_record(tmp_path / "a.json", {**VALUES, **own}) == write_record(tmp_path / "b.json", VALUES)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def entries(values: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all entries, those of tables and lists within among them."""
    if not isinstance(values, dict | list):
        return [place]
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return [found for key, value in items for found in entries(value, (*place, key))]


def test_the_seal_changes_with_every_entry(step: Path) -> None:
    content = json.loads(step.read_text())
    seals = {seal_of(content)}
    places = [place for place in entries(content) if place != ("seal",)]
    for place in places:
        changed = copy.deepcopy(content)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        value = inner[place[-1]]
        inner[place[-1]] = value * (1 + 1e-15) if isinstance(value, float) else [value]
        seals.add(seal_of(changed))
        step.write_text(json.dumps(changed))
        refused(step, "seal: the content is not the one that was sealed: damaged or edited")
    for key in content.keys() - {"seal"}:
        seals.add(seal_of({name: value for name, value in content.items() if name != key}))
    seals.add(seal_of({**content, "more": None}))
    assert len(places) == 16
    assert len(seals) == 1 + 16 + len(content)


def test_a_seal_tells_numbers_from_texts_and_flags() -> None:
    values = [1, 1.0, "1", True, None, "None", [1], {"1": 1}, 0.1, 0.1 + 1e-17 + 1e-16]
    assert len({seal_of({"a": value}) for value in values}) == len(values)


def test_a_record_with_nan_or_infinity_is_not_written(tmp_path: Path) -> None:
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_record(tmp_path / "a.json", {"loss": number})
    assert not (tmp_path / "a.json").exists()


def test_a_file_that_is_not_there_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        write_record(tmp_path / "a.json", VALUES, ["none.csv"])
    assert list(tmp_path.iterdir()) == []


# --- damage of the record


@pytest.mark.parametrize("key", ["seal", "files", "made_of"])
def test_a_record_that_lacks_an_entry_of_its_own_is_refused(step: Path, key: str) -> None:
    content = json.loads(step.read_text())
    del content[key]
    step.write_text(json.dumps(content))
    refused(step, f"{key}: missing")


def test_keys_that_are_needed_are_named(step: Path) -> None:
    with pytest.raises(ValueError, match=r"step\.json: colour, size: missing"):
        read_record(step, ("count", "colour", "size"))


@pytest.mark.parametrize("seal", ["", "0" * 64, 5, None, ["0"], {"a": 1}])
def test_a_wrong_seal_is_refused(step: Path, seal: object) -> None:
    step.write_text(json.dumps({**json.loads(step.read_text()), "seal": seal}))
    refused(step, "seal: the content is not the one that was sealed: damaged or edited")


@pytest.mark.parametrize("key", ["files", "made_of"])
@pytest.mark.parametrize("table", [None, 3, "x", ["a"], {"a": 1}, {"a": None}, {"a": {"b": "c"}}])
def test_tables_of_wrong_types_are_refused(tmp_path: Path, key: str, table: object) -> None:
    content: dict[str, Any] = {**VALUES, "files": {}, "made_of": {}, key: table}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**content, "seal": seal_of(content)}))
    refused(path, f"{key}: given .*, allowed: a table of hashes")


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_is_too_large_is_refused(step: Path, number: str) -> None:
    step.write_text(step.read_text().replace('"count": 12', f'"count": {number}'))
    refused(step, "seal: |not JSON|: missing")


@pytest.mark.parametrize("depth", [600, 980, 990, 2000, 100_000])
def test_tables_within_tables_are_refused(step: Path, depth: int) -> None:
    step.write_text(step.read_text().replace('"count": 12', f'"count": {"[" * depth}{"]" * depth}'))
    refused(step, "seal: |not JSON|: missing")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"text"', "{}", '{"seal": NaN}'])
def test_what_is_no_record_is_refused(step: Path, text: str) -> None:
    step.write_text(text)
    refused(step, "not JSON|given|missing")


def test_bytes_that_are_no_text_are_refused(step: Path) -> None:
    step.write_bytes(step.read_bytes().replace(b"mine", b"\xff\xfe\x00\x01"))
    refused(step, "is not UTF-8")


def test_any_byte_that_changes_the_content_is_noticed(step: Path) -> None:
    whole, values = step.read_bytes(), json.loads(step.read_text())
    for position in range(0, len(whole), 7):
        content = bytearray(whole)
        content[position] ^= 1
        step.write_bytes(content)
        try:
            read = json.loads(content)
        except ValueError:
            read = None
        if read != values:
            refused(step, "seal: |not JSON|: missing")


def test_a_record_that_is_missing_or_a_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_record(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OSError, match=r"folder\.json"):
        read_record(tmp_path / "folder.json")


# --- its files, its sources, its job


@pytest.mark.parametrize("name", ["one.csv", "folder/two.bin"])
@pytest.mark.parametrize("damage", ["flipped", "half", "empty", "longer"])
def test_a_file_with_other_content_is_refused(step: Path, name: str, damage: str) -> None:
    record, path = read_record(step), step.parent / name
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "half": whole[:middle],
            "empty": b"",
            "longer": whole + b"\0",
        }[damage]
    )
    with pytest.raises(
        ValueError, match=r"SHA-256 is \w{64}, but step\.json states \w{64}: damaged"
    ) as caught:
        record.file(name)
    assert str(caught.value).startswith(f"{path}: ")
    path.write_bytes(whole)
    assert record.file(name) == path


def test_a_file_that_is_missing_is_an_os_error_with_its_name(step: Path) -> None:
    step.with_name("one.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"one\.csv"):
        read_record(step).file("one.csv")


@pytest.mark.parametrize("name", ["three.csv", "two.bin", "step.json", "./one.csv", ""])
def test_a_file_that_the_record_does_not_name_is_refused(step: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"step\.json: files: does not name {name}"):
        read_record(step).file(name)


def test_a_record_knows_what_it_was_made_of(step: Path) -> None:
    record, source = read_record(step), read_record(step.with_name("source.json"))
    assert record.check_made_of(source=source) is record
    assert record.check_made_of() is record
    other = read_record(resealed(source.path, lambda values: values.update(job={"seed": 1})))
    for name, given in (("source", other), ("another", source)):
        with pytest.raises(
            ValueError, match=rf"step\.json: was not made of this {name}: .*source\.json"
        ) as e:
            record.check_made_of(**{name: given})
        assert "\n" not in str(e.value)
        assert given.seal in str(e.value)


def test_a_record_knows_its_job(step: Path) -> None:
    record = read_record(step)
    assert record.check_job(digest(JOB)) is record
    assert record.check_job(None) is record
    reason = rf"step\.json: job: made by job {digest(JOB)}, but 00000000 is wanted: mixed up"
    with pytest.raises(ValueError, match=reason):
        record.check_job("00000000")


def test_a_job_is_found_among_the_details_and_may_be_absent(step: Path) -> None:
    resealed(step, lambda values: values.update(details={"job": values.pop("job")}))
    assert read_record(step).check_job(digest(JOB)).job == JOB
    for details in ({}, [1], "text", None):
        resealed(step, lambda values, details=details: values.update(details=details))
        assert read_record(step).job is None
        with pytest.raises(ValueError, match=r"step\.json: job: made by job \w{8}, but"):
            read_record(step).check_job(digest(JOB))
