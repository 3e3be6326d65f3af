from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sealed import resealed

from eqssl.machine.finetuned import finetuned_numbers, read_finetuned, with_finetuned
from eqssl.machine.records import read_record, write_record

CELL = {"dataset": "d", "group": "C4", "pretext": "random", "seed": 0}
NUMBERS = {"fine_acc_stored_10": 0.5, "fine_acc_stored_10_lo": 0.4, "fine_acc_stored_10_hi": 0.6}


def written(folder: Path, encoder: str = "e", **changes: Any) -> Path:
    path = folder / "finetune.json"
    values = {**CELL, **NUMBERS, "job": {}, "details": {"encoder": {"job": CELL}}, **changes}
    write_record(path, values, made_of={"encoder": encoder})
    return path


def metrics(folder: Path) -> Path:
    path = folder / "metrics.json"
    write_record(path, {**CELL, "acc_stored_10": 0.3}, made_of={"encoder": "e"})
    return path


def test_the_numbers_of_a_cell_get_those_of_its_fine_tuning(tmp_path: Path) -> None:
    record = read_finetuned(written(tmp_path))
    measured = read_record(metrics(tmp_path))
    assert finetuned_numbers(record) == NUMBERS
    assert with_finetuned(measured.values, measured, record) == {**measured.values, **NUMBERS}
    assert with_finetuned(measured.values, measured, None) == measured.values


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pretext": "other"}, r"finetune\.json: pretext: given 'other', but its job has 'random'"),
        (
            {"seed": 1, "details": {"encoder": {"job": {**CELL, "seed": 1}}}},
            r"finetune\.json: seed: given 1, but \S+metrics\.json has 0",
        ),
        ({"encoder": "f"}, r"finetune\.json: was not made of the encoder that \S+metrics\.json was made of"),
        ({"acc_stored_10": 0.5}, r"finetune\.json: acc_stored_10: is no number of a fine-tuning"),
        ({"fine_acc_stored_10": 1.5}, r"fine_acc_stored_10: given 1\.5, expected an accuracy"),
        ({"fine_acc_stored_10": None}, "fine_acc_stored_10: given None, expected a finite number"),
    ],
)
def test_another_cell_another_encoder_and_other_numbers_are_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = written(tmp_path, **changes)
    measured = read_record(metrics(tmp_path))
    with pytest.raises(ValueError, match=reason) as caught:
        with_finetuned(measured.values, measured, read_finetuned(path))
    assert "\n" not in str(caught.value)


def test_a_record_that_was_edited_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("0.5", "0.55"))
    with pytest.raises(ValueError, match=r"finetune\.json: seal: "):
        read_finetuned(path)
    resealed(path)
    assert read_finetuned(path).values["fine_acc_stored_10"] == 0.55
