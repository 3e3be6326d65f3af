from __future__ import annotations

from pathlib import Path

import pytest

from eqssl.machine.records import Record
from eqssl.machine.tracing.numbers import Number, number_of
from eqssl.machine.tracing.tables import section, size_of


def record(**values: object) -> Record:
    return Record(Path("metrics.json"), values, {}, {}, "")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"acc_stored_100": 0.5, "epochs": 3, "equivariance_error": 0.1}, Number("acc_stored_100", 0.5)),
        ({"retrieval_hit_1": 0.5, "equivariance_error": 0.1}, Number("retrieval_hit_1", 0.5)),
        ({"flops": 7, "epochs": 3}, Number("epochs", 3.0)),
        ({"x": 1.0, "x_lo": 0.5, "x_hi": 2.0, "y_lo": 9.0}, Number("x", 1.0, 0.5, 2.0)),
    ],
)
def test_without_a_name_the_first_that_the_cell_has_is_taken(
    values: dict[str, object], expected: Number
) -> None:
    assert number_of(record(**values), None) == expected


def test_ends_of_an_interval_are_no_numbers_of_their_own() -> None:
    cell = record(x=1.0, x_lo=0.5, x_hi=2.0, y_lo=9.0)
    assert number_of(cell, "y_lo") == Number("y_lo", 9.0)
    with pytest.raises(ValueError, match=r"metrics\.json: number: given 'x_lo', allowed: x, y_lo"):
        number_of(cell, "x_lo")


def test_of_damaged_metrics_no_number_is_known() -> None:
    assert number_of(None, "anything") == Number("anything")


def test_metrics_without_numbers_say_so() -> None:
    with pytest.raises(ValueError, match="allowed: none, since it holds no numbers"):
        number_of(record(dataset="x"), None)


def test_what_is_no_table_or_list_is_empty() -> None:
    values = {"a": {"b": {"c": 1}}, "d": [1, 2]}
    assert section(values, "a", "b") == {"c": 1}
    assert section(values) == values
    for keys in (("a", "x"), ("d",), ("d", "b"), ("a", "b", "c", "e")):
        assert section(values, *keys) == {}
    assert size_of(values["d"]) == 2
    assert size_of(values["a"]) is None
