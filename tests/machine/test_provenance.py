from __future__ import annotations

import json

import pytest

from eqssl.machine import provenance


def test_record_is_plain_and_names_what_matters() -> None:
    record = provenance.record()
    assert record == json.loads(json.dumps(record))
    for key in ("eqssl", "python", "torch", "escnn", "numpy", "scikit-learn", "pyarrow"):
        assert key in record
    assert record["torch"]
    assert record["processor"]
    assert record["cores"] >= 1
    assert len(record["code"]) == 12


ONE = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: A: Processor\n"
TWO = ONE + "\nprocessor\t: 1\ncpu family\t: 6\nmodel\t\t: 7\nmodel name\t: B\n"


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        (TWO, "A: Processor (family 6, model 143)"),
        ("model name\t: Another\n", "Another"),
        ("processor\t: 0\nCPU architecture: 8\n", None),
        ("", None),
    ],
)
def test_a_processor_is_named_with_its_family_and_model(information: str, expected: str | None) -> None:
    assert provenance._first_processor(information) == expected
