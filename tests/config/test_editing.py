from __future__ import annotations

import difflib

import pytest

from eqssl.config.editing import edited
from eqssl.config.yaml_files import parse_yaml

TEXT = """\
# At the top.
dataset: one   # the active cell
seed: 0

datasets:
  # first
  one:
    source: a   # of a
    odd: 1.0e-7
  two: {source: b, size: 3}   # in flow style
  # after the last entry

grid:
  dataset:
  # above
  - one   # kept
  - two
  # between
  - "three"
  # below
  group:
  - C4
"""


def differences(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def test_a_single_value_changes_and_no_other_byte() -> None:
    after = edited(TEXT, {("dataset",): "two"})
    assert after == TEXT.replace("dataset: one ", "dataset: two ")


def test_a_table_is_added_after_the_last_entry_and_before_comments_that_follow() -> None:
    new = {
        "source": "folder",
        "path": "data/raw/Bäume: 1",
        "range": {"percentiles": [0.1, 99.9]},
        "on": False,
    }
    after = edited(TEXT, {("datasets", "three"): new})
    assert parse_yaml(after)["datasets"]["three"] == new
    before = TEXT.partition("  # after the last entry")[0]
    added = after.replace(before, "").partition("  # after the last")[0]
    assert added.startswith("  three:\n    source: folder\n")
    assert "    range:\n      percentiles:\n      - 0.1\n" in added
    assert after.replace(added, "") == TEXT


def test_a_list_keeps_its_comments_when_it_becomes_longer_or_shorter() -> None:
    shorter = edited(TEXT, {("grid", "dataset"): ["four"]})
    assert differences(TEXT, shorter)[:2] == ["-   - one   # kept\n", "+   - four   # kept\n"]
    assert parse_yaml(shorter)["grid"]["dataset"] == ["four"]
    for comment in ("# above", "# between", "# below"):
        assert comment in shorter
    longer = edited(TEXT, {("grid", "group"): ["trivial", "C4", "D4"]})
    assert differences(TEXT, longer) == ["+   - trivial\n", "+   - D4\n"]


def test_what_has_its_value_is_not_touched() -> None:
    changes = {
        ("dataset",): "one",
        ("grid", "dataset"): ["one", "two", "three"],
        ("datasets", "two", "size"): 3,
    }
    assert edited(TEXT, changes) == TEXT


@pytest.mark.parametrize("strange", ["no", "1.0", "null", "a: b", "# c", "- x", "two words", "", "ü"])
def test_texts_that_yaml_would_take_for_something_else_are_quoted(strange: str) -> None:
    assert parse_yaml(edited(TEXT, {("dataset",): strange}))["dataset"] == strange
    assert parse_yaml(edited(TEXT, {("grid", "group"): ["a", strange]}))["grid"]["group"] == ["a", strange]


def test_line_ends_stay_as_they_are() -> None:
    dos = TEXT.replace("\n", "\r\n")
    after = edited(dos, {("datasets", "x"): {"source": "y"}, ("grid", "group"): ["C4", "D4"]})
    assert after.count("\n") == after.count("\r\n") == dos.count("\n") + 3
    without = TEXT.rstrip("\n")
    assert edited(without, {("grid", "group"): ["C4", "D4"]}) == without + "\n  - D4\n"


@pytest.mark.parametrize(
    ("text", "key", "value", "reason"),
    [
        ("a: {b: [1]}\n", ("a", "b"), [2, 3], "a.b: must be a list in block style"),
        ("a: {b: {}}\n", ("a", "c"), {"d": 1}, "a: must be a table in block style"),
        ("a: 1\n", ("b",), 2, "b: is missing"),
        ("a: 1\n", ("a", "b"), 2, "a.b: is missing"),
        ("a:\n  b: 1\n", ("a",), 2, "a: holds a list or a table"),
        ("a:\n  b:\n    c: 1\n", ("a", "b"), {"c": 2}, "a.b: is there with other settings"),
        ("a: &x 1\nb: *x\n", ("b",), 2, "cannot change b"),
        ("a: &x\n- 1\nb: *x\n", ("a",), [2], "cannot change a"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(
    text: str, key: tuple[str, ...], value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        edited(text, {key: value})  # type: ignore[dict-item]
