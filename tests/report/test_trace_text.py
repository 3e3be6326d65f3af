from __future__ import annotations

from pathlib import Path

import pytest

from eqssl.machine.chain import Fault
from eqssl.machine.tracing.numbers import Number
from eqssl.machine.tracing.walking import Link, Trace
from eqssl.report.trace import meaning, trace_lines, trace_values


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("acc_angle_1", ["linear probe", "invariant", "turned by any angle", "1 % of the labels"]),
        ("reg_acc_grid_10", ["linear probe", "regular", "moved by elements of D4", "10 %"]),
        ("acc_other_100", ["view other"]),
        ("knn_stored", ["nearest neighbours", "invariant", "as stored"]),
        ("retrieval_mrr", ["found again"]),
        ("pretext_part_accuracy", ["pretext"]),
        ("something_new", ["docs/evaluation.md"]),
    ],
)
def test_a_number_is_told_in_words(number: str, words: list[str]) -> None:
    text = meaning(number)
    for word in words:
        assert word in text
    assert "{" not in text


def traced(**facts: object) -> Trace:
    root, home = Path("/p"), Path("/p/results/d/C4/x/s0-00000000")
    probe = Link("probe", home / "e/p/metrics.json", "f" * 64, {"predictions.csv": "a" * 64}, facts)
    fault = Fault(root / "data/index.json", "/p/data/index.json: missing")
    shards = Link("shards", root / "data/index.json", faults=(fault,))
    return Trace({"dataset": "d"}, root, home, Number("acc", 0.5), (probe, shards))


def test_values_of_any_kind_fit_the_width() -> None:
    values = {"none": None, "yes": True, "many": list(range(200)), "table": {"a": {"b": [1, None]}, "c": 0.1}}
    lines = list(trace_lines(traced(**values, text="word " * 100, bad="a\x1b[31m\nb", empty="", nothing=[])))
    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)
    assert "  none        not recorded" in lines
    assert "  yes         yes" in lines
    assert "  table       a.b 1, none; c 0.1" in lines
    assert "  empty       none" in lines
    assert "  nothing     none" in lines
    assert "  bad         a [31m b" in lines


def test_paths_are_those_below_the_cell_or_the_project_and_faults_are_whole() -> None:
    lines = list(trace_lines(traced()))
    assert "holds  probe: e/p/metrics.json" in lines
    assert (
        lines[lines.index("FAULT  shards: data/index.json") + 1]
        == "  fault       /p/data/index.json: missing"
    )
    assert "  cell        d not recorded not recorded seed not recorded" in lines
    assert lines[-1] == "1 file is missing or damaged"


def test_values_for_programs_have_every_link() -> None:
    values = trace_values(traced(x=None))
    assert [(link["name"], link["holds"]) for link in values["links"]] == [("probe", True), ("shards", False)]
    assert values["links"][0]["facts"] == {"x": None}
    assert values["holds"] is False
    assert values["number"] == {
        "name": "acc",
        "value": 0.5,
        "low": None,
        "high": None,
        "meaning": meaning("acc"),
    }
